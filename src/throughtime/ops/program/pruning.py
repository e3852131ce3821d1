"""The nodes of a graph that its results need."""

from throughtime.ops.program.graph import Graph


def needed(graph: Graph) -> list[bool]:
    """Return for each node whether a state or an output depends on it."""
    marks = [False] * len(graph.nodes)
    for position in (*graph.states, *graph.outputs):
        marks[position] = True
    for position in reversed(range(len(marks))):
        if marks[position]:
            for source in graph.nodes[position].inputs:
                marks[source] = True
    return marks


def pruned(graph: Graph) -> Graph:
    """Return the graph without the nodes that nothing needs."""
    marks = needed(graph)
    positions = dict(zip((p for p, mark in enumerate(marks) if mark), range(len(marks)), strict=False))
    return Graph(
        tuple(
            node._replace(inputs=tuple(positions[source] for source in node.inputs))
            for node, mark in zip(graph.nodes, marks, strict=True)
            if mark
        ),
        tuple(positions[state] for state in graph.states),
        tuple(positions[output] for output in graph.outputs),
    )


def use_counts(graph: Graph) -> list[int]:
    """Return how often each node is read: by nodes, as a next state and as an output."""
    counts = [0] * len(graph.nodes)
    for node in graph.nodes:
        for source in node.inputs:
            counts[source] += 1
    for position in (*graph.states, *graph.outputs):
        counts[position] += 1
    return counts
