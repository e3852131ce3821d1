"""Series and columns of numbers as the data have them: missing values filled in, and scaled, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from throughtime.data.inputs import NumericColumns, SeriesInputs
from throughtime.errors import NotCausalError
from throughtime.export._batch import DOUBLE, FLOAT, Batch, Steps, Vectors
from throughtime.export._model_graph import ModelGraph
from throughtime.export._stream import Stream

_NOT_CAUSAL = {
    "interpolate": "missing values are interpolated, which needs later steps; train with missing='forward'",
    "padding": "padding at the end of a series has no end yet; train with another missing=",
    "forward": "missing values are filled in from steps of other chunks; train with missing='mean'",
}


def scaled_steps(batch: Batch, graph: ModelGraph, x: str, inputs: SeriesInputs) -> Steps:
    """Return the steps (L, B, C) float32 that a model reads of raw series (B, L, C) float64.

    Raises
    ------
    NotCausalError
        If a step of a stream would need others.
    """
    options = inputs.options
    if isinstance(batch, Stream):
        _require_causal(inputs)
    if options.missing is None and options.scale == "none":
        # Cast first: ONNX Runtime 1.32 crashes where a matrix product reads what was transposed, then cast.
        return Steps(
            graph.add("Transpose", _floats(graph, x), perm=[1, 0, 2]), len(inputs.means), batch=batch
        )
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    fill = _Filled(graph, x, inputs.means)
    if options.missing == "padding":
        batch = replace(batch, lengths=_without_padding(batch, graph, fill))
    if options.missing in {"forward", "interpolate"}:
        filled = _from_neighbours(batch, graph, fill, interpolate=options.missing == "interpolate")
    elif options.missing is None:
        filled = x
    else:
        filled = fill.by_zero() if options.missing == "zero" else fill.by_mean()
    if options.scale == "series":
        filled = _standardized_series(batch, graph, filled)
    elif options.scale == "standard":
        filled = standardized(graph, filled, inputs.means, inputs.scales)
    values, channels = _floats(graph, filled), len(inputs.means)
    if options.missing == "mask":
        values, channels = graph.add("Concat", values, _floats(graph, fill.missing), axis=2), 2 * channels
    return Steps(values, channels, batch=batch)


def scaled_columns(graph: ModelGraph, x: str, columns: NumericColumns) -> Vectors:
    """Return the features (B, K) float32 that a model reads of raw columns (B, K) float64."""
    fill, missing = _Filled(graph, x, columns.means), columns.options.missing
    filled = x if missing is None else fill.by_zero() if missing == "zero" else fill.by_mean()
    values = _floats(graph, standardized(graph, filled, columns.means, columns.scales))
    if missing == "mask":
        values = graph.add("Concat", values, _floats(graph, fill.missing), axis=1)
    return Vectors(values, len(columns.names))


def standardized(graph: ModelGraph, x: str, means: Sequence[float], scales: Sequence[float]) -> str:
    """Return (x − mean) / scale along the last dimension."""
    centred = graph.add("Sub", x, graph.constant(np.array(means), "means"))
    return graph.add("Div", centred, graph.constant(np.array(scales), "scales"))


def double(graph: ModelGraph, number: float) -> str:
    """Keep a number in float64."""
    return graph.constant(np.array(number, np.float64), f"double_{number}".replace("-", "minus_"))


def doubles(graph: ModelGraph, values: str) -> str:
    """Return values in float64."""
    return graph.add("Cast", values, to=DOUBLE)


def _floats(graph: ModelGraph, values: str) -> str:
    return graph.add("Cast", values, to=FLOAT)


@dataclass(frozen=True)
class _Filled:
    """Values (…, C) float64, of which those not finite are missing, and the means of the channels."""

    graph: ModelGraph
    x: str
    means: Sequence[float]

    @property
    def missing(self) -> str:
        graph = self.graph
        return graph.add("Or", graph.add("IsNaN", self.x), graph.add("IsInf", self.x))

    def by_zero(self) -> str:
        return self.graph.add("Where", self.missing, double(self.graph, 0.0), self.x)

    def by_mean(self) -> str:
        means = self.graph.constant(np.array(self.means), "means")
        return self.graph.add("Where", self.missing, means, self.x)


def _require_causal(inputs: SeriesInputs) -> None:
    reason = _NOT_CAUSAL.get(inputs.options.missing or "")
    if inputs.options.scale == "series":
        reason = "each series is scaled by all its steps; train with scale='standard'"
    if reason:
        raise NotCausalError(f"the run does not stream: {reason}")


def _without_padding(batch: Batch, graph: ModelGraph, fill: _Filled) -> str:
    """(B,): the lengths up to the last step with a value."""
    observed = graph.add(
        "ReduceMax", graph.numbers(graph.add("Not", fill.missing)), graph.constant([2]), keepdims=0
    )
    counted = graph.add("And", batch.inside, graph.add("Greater", observed, graph.number(0.0)))
    following = graph.add("Add", batch.times, graph.constant([1]))
    numbers = graph.add("Where", counted, following, graph.constant([0]))
    return graph.add("ReduceMax", numbers, graph.constant([0]), keepdims=0)


def _standardized_series(batch: Batch, graph: ModelGraph, x: str) -> str:
    """Return x minus the mean, divided by the deviation, of its own series and channel."""
    real, zero = batch.real, double(graph, 0.0)
    count = doubles(graph, graph.add("Max", batch.lengths, graph.constant([1])))
    count = graph.add("Unsqueeze", count, graph.constant([1]))

    def mean_of(values: str) -> str:
        return graph.add("Div", graph.sum_over(graph.add("Where", real, values, zero), [0]), count)

    mean = mean_of(x)
    centred = graph.add("Sub", x, mean)
    variance = mean_of(graph.add("Mul", centred, centred))
    # Channels that are constant up to rounding have the scale 1, as in `throughtime.data.inputs.scaling`.
    eps = double(graph, float(np.finfo(np.float64).eps))
    rounding = graph.add("Mul", graph.add("Mul", count, mean), eps)
    least = graph.add(
        "Add", graph.add("Mul", graph.add("Mul", count, eps), variance), graph.add("Mul", rounding, rounding)
    )
    varies = graph.add("Greater", variance, least)
    scale = graph.add("Where", varies, graph.add("Sqrt", variance), double(graph, 1.0))
    return graph.add("Div", centred, scale)


def _from_neighbours(batch: Batch, graph: ModelGraph, fill: _Filled, *, interpolate: bool) -> str:
    """Return values whose missing ones come from the observed neighbours in time, or are the mean."""
    missing, nan = fill.missing, double(graph, np.nan)
    means = graph.constant(np.array(fill.means), "means")
    x = graph.add("Where", missing, nan, fill.x)
    times = doubles(graph, graph.add("Unsqueeze", batch.times, graph.constant([2])))
    before = _last_observed(graph, x, times)
    if not interpolate:
        known = graph.add("Where", graph.add("IsNaN", before[0]), means, before[0])
        return graph.add("Where", missing, known, x)
    inside = graph.add("Where", batch.real, x, nan)
    after = _last_observed(graph, inside, times, reverse=True)
    step = graph.add("Div", graph.add("Sub", times, before[1]), graph.add("Sub", after[1], before[1]))
    between = graph.add("Add", before[0], graph.add("Mul", graph.add("Sub", after[0], before[0]), step))
    no_before, no_after = graph.add("IsNaN", before[0]), graph.add("IsNaN", after[0])
    at_start = graph.add("Where", no_after, means, after[0])
    at_end = graph.add("Where", no_before, at_start, before[0])
    either = graph.add("Or", no_before, no_after)
    return graph.add("Where", missing, graph.add("Where", either, at_end, between), x)


def _last_observed(graph: ModelGraph, x: str, times: str, *, reverse: bool = False) -> tuple[str, str]:
    """Return the last values that are not NaN up to each step (L, B, C), and their times; NaN before any."""
    seen = graph.add("Where", graph.add("IsNaN", x), double(graph, np.nan), times)
    both = graph.add("Concat", x, seen, axis=2)
    first = graph.add("Squeeze", graph.sliced(both, 0, 1), graph.constant([0]))
    none = graph.add("Where", graph.add("IsNaN", first), first, double(graph, np.nan))

    def step(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        kept = graph.add("Where", graph.add("IsNaN", x_t), states[0], x_t)
        return [kept], [kept]

    _, (values,) = graph.scan(step, [none], both, dtype=np.float64, reverse=reverse)
    last, last_times = graph.add_all("Split", values, outputs=2, axis=2, num_outputs=2)
    return last, last_times
