"""Pooling over time: one vector for each sequence of a padded batch."""

import numpy as np

from throughtime.export._batch import Batch, Steps, Value, Vectors, features_of, steps_of
from throughtime.export._place import Place
from throughtime.export._stream import Stream
from throughtime.nn.description import Operator

_TO_THE_END = 2**31 - 1
_INDEX = "Step with the maximum."
_INDICES = "Steps of the values that were kept, -1 behind them."


def add_max(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::max_over_time."""
    steps, graph = steps_of(value, place.name), batch.graph
    masked = batch.masked(steps, batch.real, -np.inf).name
    highest = graph.add("ReduceMax", masked, graph.constant([0]), keepdims=0)
    name = graph.add("Where", batch.empty, graph.number(0.0), highest)
    features = features_of(steps, place.name)
    if batch.intermediates is not None:
        index = graph.add("ArgMax", masked, axis=0, keepdims=0)
        index = graph.add("Where", batch.empty, graph.constant([-1]), index)
        batch.intermediates.add(place.weight("index"), Vectors(index, features), _INDEX, np.int64)
    return Vectors(name, features)


def add_max_chunk(stream: Stream, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::max_over_time on streams: of all steps so far."""
    steps, graph, first = steps_of(value, place.name), stream.graph, stream.is_first
    features = features_of(steps, place.name)
    state = stream.state(place, "max", ("batch", features), "Maximum so far.")
    before = graph.add("Where", first, graph.number(-np.inf), state.before)
    highest = graph.add("ReduceMax", steps.name, graph.constant([0]), keepdims=0)
    largest = graph.add("Max", before, highest)
    stream.keep(state, largest)
    if stream.intermediates is not None:
        state = stream.state(place, "index", ("batch", features), f"{_INDEX[:-1]} so far.", np.int64)
        here = graph.add("Add", graph.add("ArgMax", steps.name, axis=0, keepdims=0), stream.steps_before)
        is_here = graph.add("Or", first, graph.add("Greater", highest, before))
        index = graph.add("Where", is_here, here, state.before)
        stream.keep(state, index)
        stream.intermediates.add(place.weight("index"), Vectors(index, features), _INDEX, np.int64)
    return Vectors(largest, features)


def add_sum(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::sum_over_time."""
    return _sum_where(batch, steps_of(value, place.name), batch.real, place)


def add_mean(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::mean_over_time."""
    graph, one = batch.graph, batch.graph.constant([1])
    count = graph.numbers(graph.add("Max", batch.lengths, one))
    total = _sum_where(batch, steps_of(value, place.name), batch.real, place)
    return Vectors(graph.add("Div", total.name, graph.add("Unsqueeze", count, one)), total.features)


def add_sum_chunk(stream: Stream, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::sum_over_time on streams: of all steps so far."""
    steps, graph = steps_of(value, place.name), stream.graph
    features = features_of(steps, place.name)
    state = stream.state(place, "sum", ("batch", features), "Sum so far.")
    total = graph.add("Add", state.before, graph.sum_over(steps.name, [0]))
    stream.keep(state, total)
    return Vectors(total, features)


def add_mean_chunk(stream: Stream, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::mean_over_time on streams: of all steps so far."""
    graph, total = stream.graph, add_sum_chunk(stream, operator, value, place)
    count = graph.numbers(graph.add("Add", stream.steps_before, stream.steps))
    return Vectors(graph.add("Div", total.name, count), total.features)


def add_std(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add the square root of the mean squared distance to the mean."""
    graph, steps = batch.graph, steps_of(value, place.name)
    mean = add_mean(batch, operator, steps, place)
    centred = graph.add("Sub", steps.name, mean.name)
    squares = Steps(graph.add("Mul", centred, centred), steps.features)
    variance = add_mean(batch, operator, squares, place)
    return Vectors(graph.add("Sqrt", variance.name), variance.features)


def add_std_chunk(stream: Stream, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add the deviation on streams: of all steps so far.

    Two parts with n and m values, means a and b and squared deviations A and B have together
    A + B + (b − a)² n m / (n + m) (T. F. Chan, G. H. Golub and R. J. LeVeque, 1979).
    """
    steps, graph, time = steps_of(value, place.name), stream.graph, [0]
    features = features_of(steps, place.name)
    mean, deviations = (
        stream.state(place, name, ("batch", features), f"{words} so far.")
        for name, words in (("mean", "Mean"), ("deviations", "Sum of the squared deviations from the mean"))
    )
    n, m = graph.numbers(stream.steps_before), graph.numbers(stream.steps)
    count = graph.add("Add", n, m)
    here = graph.add("Div", graph.sum_over(steps.name, time), m)
    centred = graph.add("Sub", steps.name, here)
    squares = graph.sum_over(graph.add("Mul", centred, centred), time)
    apart = graph.add("Sub", here, mean.before)
    moved = graph.add("Mul", apart, graph.add("Div", m, count))
    between = graph.add("Mul", graph.add("Mul", apart, moved), n)
    total = graph.add("Add", graph.add("Add", deviations.before, squares), between)
    stream.keep(mean, graph.add("Add", mean.before, moved))
    stream.keep(deviations, total)
    return Vectors(graph.add("Sqrt", graph.add("Div", total, count)), features)


def add_last(batch: Batch, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::last_over_time."""
    return _sum_where(batch, steps_of(value, place.name), batch.last, place)


def add_last_chunk(stream: Stream, _operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::last_over_time on streams: the last step of the chunk."""
    steps, graph = steps_of(value, place.name), stream.graph
    last = graph.sliced(steps.name, -1, _TO_THE_END)
    return Vectors(graph.add("Squeeze", last, graph.constant([0])), features_of(steps, place.name))


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
    features = features_of(steps, place.name)
    if batch.intermediates is not None:
        index = graph.add("Where", inside, times, graph.constant([-1]))
        by_sequence = Vectors(graph.add("Transpose", index, perm=[1, 0, 2]), features, rows=k)
        batch.intermediates.add(place.weight("index"), by_sequence, _INDICES, np.int64)
    return Vectors(graph.add("Transpose", kept, perm=[1, 0, 2]), features, rows=k)


POOLS = {
    "last_over_time": add_last,
    "max_over_time": add_max,
    "mean_over_time": add_mean,
    "std_over_time": add_std,
    "sum_over_time": add_sum,
    "top_k_over_time": add_top_k,
}
"""The functions above of whole sequences by the names of their operators."""

CHUNK_POOLS = {
    "last_over_time": add_last_chunk,
    "max_over_time": add_max_chunk,
    "mean_over_time": add_mean_chunk,
    "std_over_time": add_std_chunk,
    "sum_over_time": add_sum_chunk,
}
"""Those of streams."""


def add_softmax_over_time(batch: Batch, _operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::softmax_over_time: over the steps of each sequence."""
    steps = steps_of(value, place.name)
    masked = batch.masked(steps, batch.real, -np.inf).name
    return Steps(batch.graph.add("Softmax", masked, axis=0), steps.features)
