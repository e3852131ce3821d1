"""Bounds on the gradients that a step passes to the one before it, as operators of a graph."""

from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.graph import Graph

OPERATOR = "bound_gradient"
_CACHE = "_bounded"


def with_bounded_states(graph: Graph, value: float, norm: float) -> Graph:
    """Return the graph with the gradient of every state bounded, see `throughtime.ops.recurrent.bounds`.

    The graph of the same bounds is built once.
    """
    cache: dict[tuple[float, float], Graph] = graph.__dict__.setdefault(_CACHE, {})
    bounded = cache.get((value, norm))
    if bounded is None:
        bounded = cache[value, norm] = _bounded(graph, (value, norm))
    return bounded


def is_bounded(graph: Graph) -> bool:
    """Tell whether a graph bounds gradients."""
    return any(node.operator == OPERATOR for node in graph.nodes)


def _bounded(graph: Graph, bounds: tuple[float, float]) -> Graph:
    builder = Builder()
    values: list[Value] = []
    for node in graph.nodes:
        value = builder.copied(node, [values[source] for source in node.inputs])
        values.append(value.call(OPERATOR, numbers=bounds) if node.operator == "state" else value)
    states, outputs = ([values[at] for at in places] for places in (graph.states, graph.outputs))
    return builder.graph(states, outputs)
