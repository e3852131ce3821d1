"""Long sequences as the options of a run say: their first steps, or the mean over overlapping windows."""

from dataclasses import dataclass, replace

import numpy as np

from throughtime.data.inputs import LengthLimit
from throughtime.export._batch import Batch, Steps, Vectors
from throughtime.export._graph import Graph


def truncated(batch: Batch, limit: LengthLimit) -> Batch:
    """Return a batch with the first steps of longer sequences."""
    graph = batch.graph
    return replace(batch, lengths=graph.add("Min", batch.lengths, graph.constant([limit.length])))


@dataclass(frozen=True)
class RowWindows:
    """Windows of sequences: W of each, of which each sequence has its first ``counts`` (B, 1) int64."""

    rows: Batch
    batch: Batch
    count: str
    counts: str

    @classmethod
    def of(cls, rows: Batch, limit: LengthLimit) -> "RowWindows":
        """Return the windows of a batch, `throughtime.data.inputs.windows` says which."""
        graph, length = rows.graph, limit.length
        stride = limit.stride or max(1, length // 2)
        one, zero = graph.constant([1]), graph.constant([0])
        beyond = graph.add("Max", graph.add("Sub", rows.lengths, graph.constant([length])), zero)
        rounded = graph.add("Add", beyond, graph.constant([stride - 1]))
        counts = graph.add("Add", graph.add("Div", rounded, graph.constant([stride])), one)
        count = graph.add("ReduceMax", counts, zero, keepdims=1)
        starts = graph.add("Mul", _numbers(graph, count), graph.constant([stride]))  # (W,)
        column = graph.add("Unsqueeze", rows.lengths, one)  # (B, 1)
        lengths = graph.add("Sub", column, starts)  # (B, W)
        lengths = graph.add("Min", graph.add("Max", lengths, zero), graph.constant([length]))
        counts = graph.add("Unsqueeze", counts, one)
        present = graph.add("Less", _numbers(graph, count), counts)
        lengths = graph.add("Where", present, lengths, zero)
        batch = replace(rows, lengths=graph.reshaped(lengths, [-1]), steps=graph.constant([length]))
        return cls(rows, batch, count, counts)

    def cut(self, steps: Steps, limit: LengthLimit) -> Steps:
        """Return the steps (length, B · W, …) of all windows of steps (L, B, …)."""
        graph = self.rows.graph
        stride = limit.stride or max(1, limit.length // 2)
        starts = graph.add("Mul", _numbers(graph, self.count), graph.constant([stride]))
        inner = graph.add("Unsqueeze", _numbers(graph, graph.constant([limit.length])), graph.constant([1]))
        last = graph.add("Sub", self.rows.steps, graph.constant([1]))
        index = graph.add("Min", graph.add("Add", inner, starts), last)  # (length, W)
        cut = graph.add("Gather", steps.name, index, axis=0)  # (length, W, B, …)
        dims = [0, 2, 1] if steps.features is None else [0, 2, 1, 3]
        swapped = graph.add("Transpose", cut, perm=dims)
        shape = [limit.length, -1] if steps.features is None else [limit.length, -1, steps.features]
        return replace(steps, name=graph.reshaped(swapped, shape), batch=self.batch)

    def repeated(self, extra: Vectors) -> Vectors:
        """Return features (B, K) of sequences as those of all their windows, (B · W, K)."""
        if not extra.name:
            return extra
        graph = self.rows.graph
        shape = graph.add("Concat", self.rows.size, self.count, graph.constant([extra.features]), axis=0)
        along = graph.add("Expand", graph.add("Unsqueeze", extra.name, graph.constant([1])), shape)
        return replace(extra, name=graph.reshaped(along, [-1, extra.features]))

    def mean(self, outputs: Vectors) -> Vectors:
        """Return the mean (B, N) over the windows of each sequence of outputs (B · W, N)."""
        graph = self.rows.graph
        shape = graph.add("Concat", self.rows.size, self.count, graph.constant([outputs.features]), axis=0)
        by_row = graph.add("Reshape", outputs.name, shape)
        present = graph.add("Less", _numbers(graph, self.count), self.counts)
        mask = graph.add("Unsqueeze", present, graph.constant([2]))
        total = graph.sum_over(graph.add("Where", mask, by_row, graph.number(0.0)), [1])
        return replace(outputs, name=graph.add("Div", total, graph.numbers(self.counts)))


def _numbers(graph: Graph, count: str) -> str:
    """(n,): 0, 1, …, n − 1 of a count (1,)."""
    zero, one = (graph.constant(np.array(n, np.int64), f"integer_{n}") for n in (0, 1))
    return graph.add("Range", zero, graph.add("Squeeze", count, graph.constant([0])), one)
