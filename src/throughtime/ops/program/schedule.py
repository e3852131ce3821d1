"""The order in which the nodes of a graph are computed.

A step is divided into stages, each of pointwise operators and then products. Every node is computed in the
first stage in which its inputs are there, so that few values live while a product runs; a node that reads
leaves alone, which can be read at any time, only when its result is needed.
"""

from collections.abc import Sequence

from throughtime.ops.program.fusing import PRODUCTS
from throughtime.ops.program.graph import LEAVES, Graph, Node
from throughtime.ops.program.pruning import pruned, use_counts

_READABLE = frozenset({*LEAVES, "constant"})


def with_addends(graph: Graph) -> Graph:
    """Return a graph in which products add to a value that is there before them: inputs a and the addend."""
    nodes = list(graph.nodes)
    counts, stages = use_counts(graph), _stages(graph.nodes)
    for position, node in enumerate(nodes):
        for product, addend in (node.inputs[::-1], node.inputs) if node.operator == "add" else ():
            factor = nodes[product]
            plain = factor.operator in PRODUCTS and len(factor.inputs) == 1 and counts[product] == 1
            if plain and _begins(nodes, stages, addend) <= stages[product] - 1:
                nodes[position] = factor._replace(inputs=(factor.inputs[0], addend))
                stages[position] = stages[product]
                break
    return pruned(Graph(tuple(nodes), graph.states, graph.outputs))


def scheduled(graph: Graph) -> list[int]:
    """Return all nodes of a graph, none before its inputs."""
    nodes, stages = graph.nodes, _stages(graph.nodes)
    written = {*graph.states, *graph.outputs}
    at_any_time = _at_any_time(nodes, written)
    order: list[int] = []
    seen: set[int] = set()
    for stage in range(max(stages, default=0) + 1):
        for position, node in enumerate(nodes):
            if node.operator not in PRODUCTS and stages[position] == stage and not at_any_time[position]:
                _visit(nodes, position, order, seen)
        products = [
            position
            for position, node in enumerate(nodes)
            if node.operator in PRODUCTS and stages[position] == stage + 1
        ]
        for source in (source for position in products for source in nodes[position].inputs):
            if nodes[source].operator not in PRODUCTS:
                _visit(nodes, source, order, seen)
        for position in products:
            _visit(nodes, position, order, seen)
    return order


def _stages(nodes: Sequence[Node]) -> list[int]:
    """Return the stage in which each node can be computed, for a product the one after that which it ends."""
    stages: list[int] = []
    for node in nodes:
        if node.operator in PRODUCTS:
            factor, *addend = node.inputs
            begins = [stages[factor], *(_begins(nodes, stages, source) for source in addend)]
            stages.append(max(begins) + 1)
        else:
            stages.append(max((stages[source] for source in node.inputs), default=0))
    return stages


def _begins(nodes: Sequence[Node], stages: Sequence[int], addend: int) -> int:
    """Return the first stage whose products may add to a value: products of one stage follow each other.

    A slice of a product is there when the product is.
    """
    while nodes[addend].operator == "slice":
        (addend,) = nodes[addend].inputs
    return stages[addend] - (nodes[addend].operator in PRODUCTS)


def _at_any_time(nodes: Sequence[Node], written: set[int]) -> list[bool]:
    marks: list[bool] = []
    for position, node in enumerate(nodes):
        own = node.operator in _READABLE or (
            node.operator not in PRODUCTS and all(marks[source] for source in node.inputs)
        )
        marks.append(own and position not in written)
    return marks


def _visit(nodes: Sequence[Node], position: int, order: list[int], seen: set[int]) -> None:
    """Add a node after those of its inputs that are not there yet."""
    pending, missing = [position], set()
    while pending:
        one = pending.pop()
        if one not in seen:
            seen.add(one)
            missing.add(one)
            pending += nodes[one].inputs
    order += sorted(missing)
