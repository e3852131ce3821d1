"""Pooling over time: one vector for each sequence of a padded batch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from throughtime.errors import ShapeError
from throughtime.export._batch import FLOAT, Batch, Steps, Value, Vectors, features_of, steps_of


def add_pool(batch: Batch, module: Any, value: Value, name: str) -> Vectors:
    """Add a `throughtime.nn.Pool`.

    Raises
    ------
    ShapeError
        If its kind has no form here, or what comes before it has no value for every step.
    """
    steps = steps_of(value, name)
    if module.kind == "top-k":
        return _top_k(batch, steps, module.k, name)
    if module.kind not in _KINDS:
        raise ShapeError(
            f"{name}: Pool of kind {module.kind!r} is not exported; these are: {', '.join(_KINDS)}, top-k"
        )
    return Vectors(_KINDS[module.kind](batch, steps), features_of(steps, name))


def _maximum(batch: Batch, steps: Steps) -> str:
    graph = batch.graph
    highest = graph.add("ReduceMax", batch.masked(steps, batch.real, -np.inf).name, axes=[0], keepdims=0)
    return graph.add("Where", batch.empty, graph.number(0.0), highest)


def _sum(batch: Batch, steps: Steps) -> str:
    return _sum_where(batch, steps, batch.real)


def _mean(batch: Batch, steps: Steps) -> str:
    graph, one = batch.graph, batch.graph.constant([1])
    count = graph.add("Cast", graph.add("Max", batch.lengths, one), to=FLOAT)
    return graph.add("Div", _sum(batch, steps), graph.add("Unsqueeze", count, one))


def _last(batch: Batch, steps: Steps) -> str:
    return _sum_where(batch, steps, batch.last)


def _sum_where(batch: Batch, steps: Steps, mask: str) -> str:
    graph = batch.graph
    return graph.add("ReduceSum", batch.masked(steps, mask).name, graph.constant([0]), keepdims=0)


_KINDS: dict[str, Callable[[Batch, Steps], str]] = {
    "max": _maximum,
    "mean": _mean,
    "last": _last,
    "sum": _sum,
}


def _top_k(batch: Batch, steps: Steps, k: int, name: str) -> Vectors:
    graph, count = batch.graph, batch.graph.constant([k])
    lowest = graph.number(-np.inf)
    # TopK refuses an axis shorter than k, so k more steps stand behind the longest sequence. Of equal values
    # it takes the first, and thus every real step before one behind the end, even where it is -inf, too.
    ends = graph.constant([0, 0, 0, k, 0, 0])
    padded = graph.add("Pad", batch.masked(steps, batch.real, -np.inf).name, ends, lowest)
    largest = graph.add_all("TopK", padded, count, outputs=2, axis=0)[1]
    times = graph.add_all("TopK", largest, count, outputs=2, axis=0, largest=0)[0]  # as they came
    inside = graph.add("Less", times, graph.add("Unsqueeze", batch.lengths, graph.constant([1])))
    values = graph.add("GatherElements", padded, times, axis=0)
    kept = graph.add("Where", inside, values, graph.number(0.0))
    return Vectors(graph.add("Transpose", kept, perm=[1, 0, 2]), features_of(steps, name), rows=k)
