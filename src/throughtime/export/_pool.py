"""Pooling over time: one vector for each sequence of a padded batch."""

import numpy as np

from throughtime.export._batch import Batch, Steps, Value, Vectors, features_of, steps_of
from throughtime.export._place import Place
from throughtime.nn.description import Operator


def add_max(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::max_over_time."""
    steps, graph = steps_of(value, place.name), batch.graph
    masked = batch.masked(steps, batch.real, -np.inf).name
    highest = graph.add("ReduceMax", masked, graph.constant([0]), keepdims=0)
    name = graph.add("Where", batch.empty, graph.number(0.0), highest)
    return Vectors(name, features_of(steps, place.name))


def add_sum(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::sum_over_time."""
    return _sum_where(batch, steps_of(value, place.name), batch.real, place)


def add_mean(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::mean_over_time."""
    graph, one = batch.graph, batch.graph.constant([1])
    count = graph.numbers(graph.add("Max", batch.lengths, one))
    total = _sum_where(batch, steps_of(value, place.name), batch.real, place)
    return Vectors(graph.add("Div", total.name, graph.add("Unsqueeze", count, one)), total.features)


def add_std(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add the square root of the mean squared distance to the mean."""
    graph, steps = batch.graph, steps_of(value, place.name)
    mean = add_mean(batch, operator, steps, place)
    centred = graph.add("Sub", steps.name, mean.name)
    squares = Steps(graph.add("Mul", centred, centred), steps.features)
    variance = add_mean(batch, operator, squares, place)
    return Vectors(graph.add("Sqrt", variance.name), variance.features)


def add_last(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::last_over_time."""
    return _sum_where(batch, steps_of(value, place.name), batch.last, place)


def _sum_where(batch: Batch, steps: Steps, mask: str, place: Place) -> Vectors:
    total = batch.graph.sum_over(batch.masked(steps, mask).name, [0])
    return Vectors(total, features_of(steps, place.name))


def add_top_k(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::top_k_over_time."""
    k, steps = operator.arguments["k"], steps_of(value, place.name)
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
    return Vectors(graph.add("Transpose", kept, perm=[1, 0, 2]), features_of(steps, place.name), rows=k)


POOLS = {
    "last_over_time": add_last,
    "max_over_time": add_max,
    "mean_over_time": add_mean,
    "std_over_time": add_std,
    "sum_over_time": add_sum,
    "top_k_over_time": add_top_k,
}
"""The functions above by the names of their operators."""


def add_softmax_over_time(batch: Batch, _operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::softmax_over_time: over the steps of each sequence."""
    steps = steps_of(value, place.name)
    masked = batch.masked(steps, batch.real, -np.inf).name
    return Steps(batch.graph.add("Softmax", masked, axis=0), steps.features)
