"""Operators of torch that conversions of ragged batches call, and that torch's exporter does not write."""

from typing import Any

import numpy as np

from throughtime.export._recorded_graph import RecordedGraph


def repeated_numbers(repeats: Any, *, output_size: Any = None) -> Any:  # noqa: ARG001 - the size of the result
    """Write ``aten::repeat_interleave.Tensor``: 0, 1, …, B − 1, each as often as ``repeats`` (B,) tells.

    torch 2.13 translates it without ``output_size`` alone.
    """
    graph = RecordedGraph(np.dtype(np.float32))
    counts = graph.named(repeats)
    rows = graph.add("Unsqueeze", counts, graph.constant([1]))
    most = graph.add("ReduceMax", graph.add("Concat", counts, graph.constant([0]), axis=0), keepdims=0)
    zero, one = (graph.constant(np.array(number, np.int64)) for number in (0, 1))
    places = graph.add("NonZero", graph.add("Less", graph.add("Range", zero, most, one), rows))
    return graph.value_of(graph.add("Gather", places, zero, axis=0))
