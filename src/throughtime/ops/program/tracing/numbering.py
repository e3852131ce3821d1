"""The leaves and matrices that a graph still reads, numbered anew."""

from collections.abc import Sequence
from dataclasses import replace

from throughtime.ops.program.graph import Graph, Node


def renumbered(graph: Graph, kinds: Sequence[str]) -> tuple[Graph, dict[str, list[int]]]:
    """Return a graph whose leaves of these kinds are numbered without gaps, and their old numbers."""
    used: dict[str, list[int]] = {kind: [] for kind in kinds}
    nodes = tuple(node._replace(index=_new_index(node, used)) for node in graph.nodes)
    return replace(graph, nodes=nodes), used


def _new_index(node: Node, used: dict[str, list[int]]) -> int:
    if node.operator not in used:
        return node.index
    known = used[node.operator]
    if node.index not in known:
        known.append(node.index)
    return known.index(node.index)
