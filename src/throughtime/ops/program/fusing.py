"""Several operators as one: a · b + c, and a + c (b − a) in both of its usual forms."""

from collections.abc import Callable
from itertools import permutations

from throughtime.ops.program.graph import Graph, Node
from throughtime.ops.program.pruning import pruned, use_counts

PRODUCTS = frozenset({"product", "product_transposed"})


def fused(graph: Graph) -> Graph:
    """Return a graph of the same values with fewer operators."""
    nodes = list(graph.nodes)
    counts = use_counts(graph)
    for position, node in enumerate(nodes):
        if node.operator == "add":
            nodes[position] = _fused_add(node, nodes, lambda source: counts[source] == 1)
    return pruned(Graph(tuple(nodes), graph.states, graph.outputs))


def _fused_add(node: Node, nodes: list[Node], once: Callable[[int], bool]) -> Node:
    pairs = list(permutations(node.inputs))
    for left, right in pairs:
        weights = _lerp(nodes, left, right, once)
        if weights is not None:
            return node._replace(operator="lerp", inputs=weights)
    for left, right in pairs:
        # A product adds to what is there already.
        adds = nodes[right].operator in PRODUCTS and once(right)
        if nodes[left].operator == "mul" and once(left) and not adds:
            return node._replace(operator="fma", inputs=(*nodes[left].inputs, right))
    return node


def _lerp(
    nodes: list[Node], left: int, right: int, once: Callable[[int], bool]
) -> tuple[int, int, int] | None:
    """Return a, b and c if left + right is a (1 − c) + b c or a + c (b − a)."""
    product = nodes[left]
    if product.operator != "mul" or not once(left):
        return None
    for factor, other in permutations(product.inputs):
        if nodes[factor].operator == "sub" and once(factor) and nodes[factor].inputs[1] == right:
            return right, nodes[factor].inputs[0], other
        complement = nodes[factor].operator == "affine" and nodes[factor].numbers == (-1.0, 1.0)
        if complement and nodes[right].operator == "mul" and once(right):
            weight = nodes[factor].inputs[0]
            if weight in nodes[right].inputs:
                first, second = nodes[right].inputs
                return other, second if first == weight else first, weight
    return None
