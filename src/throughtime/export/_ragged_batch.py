"""A ragged batch within a graph: its tokens as the steps of a padded batch, and back."""

from functools import cached_property

import numpy as np

from throughtime.export._batch import Batch, Steps
from throughtime.export._graph import Graph

_TO_THE_END = 2**31 - 1


class RaggedBatch:
    """Sequences end to end.

    Parameters
    ----------
    graph
        The graph.
    offsets
        (B + 1,) int64.
    left, right
        How many copies of its first and last token are put around each sequence that is not empty.
    """

    def __init__(self, graph: Graph, offsets: str, left: int = 0, right: int = 0) -> None:
        self.graph = graph
        self._starts = graph.sliced(offsets, 0, -1)
        self._tokens = graph.add("Sub", graph.sliced(offsets, 1, _TO_THE_END), self._starts)
        self._left, self._right = left, right

    @cached_property
    def lengths(self) -> str:
        """(B,): steps of each sequence, with what is put around it."""
        around = self._left + self._right
        if not around:
            return self._tokens
        some = self.graph.add("Min", self._tokens, self.graph.constant([1]))
        return self.graph.add("Add", self._tokens, self.graph.add("Mul", some, self.graph.constant([around])))

    @cached_property
    def batch(self) -> Batch:
        """The padded batch, as long as the longest sequence, and 1 at least."""
        at_least = self.graph.add("Concat", self.lengths, self.graph.constant([1]), axis=0)
        longest = self.graph.add("ReduceMax", at_least, self.graph.constant([0]), keepdims=1)
        return Batch(self.graph, self.lengths, longest)

    def steps(self, values: str, features: int) -> Steps:
        """Return tokens (T, D) as steps (L, B, D), zeros behind the end of a sequence."""
        row = self.graph.constant(np.zeros((1, features), self.graph.dtype), "row_of_zeros")
        extended = self.graph.add("Concat", values, row, axis=0)
        rows = self.graph.add("Where", self.batch.inside, self._rows, self._total(values))
        return Steps(self.graph.add("Gather", extended, rows, axis=0), features)

    @cached_property
    def _rows(self) -> str:
        """(L, B): the token that each step is, of those inside their sequence."""
        times, graph = self.batch.times, self.graph
        if self._left + self._right:
            moved = graph.add("Sub", times, graph.constant([self._left]))
            first = graph.add("Max", moved, graph.constant([0]))
            times = graph.add("Min", first, graph.add("Sub", self._tokens, graph.constant([1])))
        return graph.add("Add", times, self._starts)

    def _total(self, values: str) -> str:
        return self.graph.add("Shape", values, start=0, end=1)

    def tokens(self, steps: Steps) -> str:
        """Return the steps (L', B, D) inside the sequences as tokens (T, D); L' is at least their length."""
        graph, batch = self.graph, Batch.of(self.graph, self.lengths, steps.name)
        inside = graph.add("Transpose", batch.inside, perm=[1, 0])
        by_sequence = graph.add("Transpose", steps.name, perm=[1, 0, 2])
        every = graph.reshaped(by_sequence, [-1, steps.features or 1])
        return graph.add("Compress", every, graph.reshaped(inside, [-1]), axis=0)
