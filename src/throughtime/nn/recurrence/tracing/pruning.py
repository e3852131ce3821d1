"""A graph without the nodes that nothing reads."""

from collections.abc import Sequence

from throughtime.nn.recurrence.tracing.graph_builder import GraphBuilder
from throughtime.ops.program.graph import Graph, Node

_COUNTED = ("token", "sequence", "vector", "product")


def pruned(builder: GraphBuilder, states: Sequence[int]) -> tuple[Graph, dict[str, list[int]]]:
    """Return the graph, and for each kind of leaf, and matrices, which of them it still reads, in its order."""
    kept = _needed(builder.nodes, states)
    position = {old: new for new, old in enumerate(kept)}
    used: dict[str, list[int]] = {kind: [] for kind in _COUNTED}
    nodes = []
    for old in kept:
        node = builder.nodes[old]
        inputs = tuple(position[part] for part in node.inputs)
        nodes.append(node._replace(inputs=inputs, index=_renumbered(node, used)))
    return Graph(tuple(nodes), tuple(position[state] for state in states)), used


def _needed(nodes: Sequence[Node], states: Sequence[int]) -> list[int]:
    needed = set(states)
    for position in reversed(range(len(nodes))):
        if position in needed:
            needed.update(nodes[position].inputs)
    return sorted(needed)


def _renumbered(node: Node, used: dict[str, list[int]]) -> int:
    if node.operator not in used:
        return node.index
    known = used[node.operator]
    if node.index not in known:
        known.append(node.index)
    return known.index(node.index)
