"""A packed batch within a graph: its tokens as the steps of a padded batch, and back."""

from functools import cached_property

import numpy as np

from throughtime.export._batch import Batch, Steps
from throughtime.export._graph import Graph


class PackedBatch:
    """All first tokens, then all second ones, and so on, as of a `PackedSequence`.

    Parameters
    ----------
    graph
        The graph.
    sizes
        (L,) int64: how many sequences have each step.
    count
        (1,) int64: the number of sequences.
    """

    def __init__(self, graph: Graph, sizes: str, count: str) -> None:
        self.graph = graph
        zero, one = (graph.constant(np.array(number, np.int64)) for number in (0, 1))
        ranks = graph.add("Range", zero, graph.add("Squeeze", count, graph.constant([0])), one)
        rows = graph.add("Unsqueeze", sizes, graph.constant([1]))
        steps = graph.add("CastLike", graph.add("Less", ranks, rows), sizes)
        self.batch = Batch(graph, graph.sum_over(steps, [0]), graph.add("Shape", sizes))

    @cached_property
    def _inside(self) -> str:
        """(L · B,) bool: whether a step belongs to its sequence."""
        return self.graph.reshaped(self.batch.inside, [-1])

    def steps(self, values: str, features: int) -> Steps:
        """Return tokens (T, D) as steps (L, B, D), zeros behind the end of a sequence."""
        graph, padding = self.graph, self.graph.constant(np.zeros((1, features), self.graph.dtype))
        total = graph.add("Shape", values, start=0, end=1)
        counts = graph.add("CastLike", self._inside, total)
        through = graph.add("CumSum", counts, graph.constant(np.array(0, np.int64)))
        rows = graph.add("Where", self._inside, graph.add("Sub", through, graph.constant([1])), total)
        flat = graph.add("Gather", graph.add("Concat", values, padding, axis=0), rows, axis=0)
        sizes = graph.add("Concat", graph.add("Shape", self.batch.inside), graph.constant([features]), axis=0)
        return Steps(graph.add("Reshape", flat, sizes), features)

    def tokens(self, steps: Steps) -> str:
        """Return the steps (L, B, D) inside the sequences as tokens (T, D)."""
        flat = self.graph.reshaped(steps.name, [-1, steps.features or 1])
        return self.graph.add("Compress", flat, self._inside, axis=0)
