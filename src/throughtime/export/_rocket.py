"""MiniRocket's features: dilated sums as slices of a padded batch, in the order in which the kernels add."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from throughtime.errors import InputTypeError
from throughtime.export._batch import Batch, Steps, Value, Vectors, steps_of
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.nn.description import Operator
from throughtime.ops.rocket.kernels import KERNELS, TAPS, DilatedKernels, by_dilation

_TO_THE_END = 2**31 - 1
_MIDDLE = TAPS // 2


def add_rocket(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::rocket.

    Raises
    ------
    InputTypeError
        If it computes other statistics than the proportion of positive values.
    """
    if operator.arguments["all_statistics"]:
        raise InputTypeError(
            f"{place.name}: the longest stretch of positive values has no form in ONNX here; export a "
            "MiniRocket with statistics='ppv'"
        )
    steps, graph = steps_of(value, place.name), batch.graph
    parts = []
    for row, of_row in enumerate(zip(*(_tensor(operator, name) for name in _NAMES), strict=True)):
        series = _differences(batch, steps) if row else _series(batch, steps)
        parts += [_features(graph, series, kernels) for kernels in by_dilation(*of_row)]
    features = operator.arguments["biases"].numel()
    return Vectors(graph.add("Concat", *parts, axis=1), features)


_NAMES = ("dilations", "biases", "channels")


def _tensor(operator: Operator, name: str) -> Tensor:
    tensor: Tensor = operator.arguments[name].detach().cpu()
    return tensor


@dataclass(frozen=True)
class _Series:
    """Series (L, B, C) with zeros behind their ends: lengths (B,), and the numbers of the steps (L, 1)."""

    values: str
    lengths: str
    times: str
    channels: int


def _series(batch: Batch, steps: Steps) -> _Series:
    masked = batch.masked(steps, batch.real).name
    return _Series(masked, batch.lengths, batch.times, steps.features or 0)


def _differences(batch: Batch, steps: Steps) -> _Series:
    """Return x[t + 1] − x[t]; the last step of each series becomes 0, and does not count."""
    graph = batch.graph
    lengths = graph.add("Max", graph.add("Sub", batch.lengths, graph.constant([1])), graph.constant([0]))
    following = graph.add("Pad", graph.sliced(steps.name, 1, _TO_THE_END), graph.constant([0, 0, 0, 1, 0, 0]))
    difference = graph.add("Sub", following, steps.name)
    inside = graph.add("Unsqueeze", graph.add("Less", batch.times, lengths), graph.constant([2]))
    values = graph.add("Where", inside, difference, graph.number(0.0))
    return _Series(values, lengths, batch.times, steps.features or 0)


def _features(graph: Graph, series: _Series, kernels: DilatedKernels) -> str:
    """Return the proportions (B, 84 · n) of outputs greater than the biases of one dilation."""
    last = graph.constant([3])
    outputs = graph.add("Unsqueeze", _outputs(graph, series, kernels), last)
    positive = graph.add("Greater", outputs, graph.constant(kernels.biases.numpy()))
    inner = np.arange(kernels.number, kernels.number + len(KERNELS)) % 2 == 1
    counted, sizes = _counted(graph, series, inner, 4 * kernels.dilation)
    positive = graph.add("And", positive, graph.add("Unsqueeze", counted, last))
    counts = graph.sum_over(graph.numbers(positive), [0])
    proportions = graph.add("Div", counts, graph.add("Unsqueeze", sizes, graph.constant([2])))
    return graph.reshaped(proportions, [0, kernels.biases.numel()])


def _counted(graph: Graph, series: _Series, inner: np.ndarray, border: int) -> tuple[str, str]:
    """Return whether an output counts, (L, B, 84), and how many of a series do, (B, 84), at least 1."""
    one, last = graph.constant([1]), graph.constant([2])
    lengths = graph.add("Unsqueeze", series.lengths, one)
    is_long = graph.add("GreaterOrEqual", lengths, graph.constant([4 * border]))
    cut = graph.add("And", is_long, graph.constant(inner))
    borders = graph.add("Where", cut, graph.constant([border]), graph.constant([0]))
    ends = graph.add("Sub", lengths, borders)
    times = graph.add("Unsqueeze", series.times, last)
    counted = graph.add("And", graph.add("GreaterOrEqual", times, borders), graph.add("Less", times, ends))
    return counted, graph.numbers(graph.add("Max", graph.add("Sub", ends, borders), one))


def _outputs(graph: Graph, series: _Series, kernels: DilatedKernels) -> str:
    """Return the outputs (L, B, 84) of one dilation."""
    taps = list(_taps(graph, series.values, kernels.dilation))
    total = taps[_MIDDLE]
    for tap in (*taps[:_MIDDLE], *taps[_MIDDLE + 1 :]):
        total = graph.add("Add", total, tap)
    alpha = graph.add("Neg", total)
    gamma = graph.add("Mul", graph.add("Concat", *taps, axis=2), graph.number(3.0))
    channels, summed = kernels.channels.numpy(), ""
    for channel in channels.T[(channels >= 0).any(0)]:
        read = channel.clip(min=0)
        output = graph.add("Gather", alpha, graph.constant(read), axis=2)
        for tap in np.array(KERNELS).T:
            places = graph.constant(tap * series.channels + read)
            output = graph.add("Add", output, graph.add("Gather", gamma, places, axis=2))
        if (channel < 0).any():
            output = graph.add("Where", graph.constant(channel >= 0), output, graph.number(0.0))
        summed = graph.add("Add", summed, output) if summed else output
    return summed


def _taps(graph: Graph, values: str, dilation: int) -> Iterator[str]:
    """Yield x[t + (g − 4) · dilation] (L, B, C) for each tap g, 0 beyond the ends."""
    border = _MIDDLE * dilation
    padded = graph.add("Pad", values, graph.constant([border, 0, 0, border, 0, 0]))
    for tap in range(TAPS):
        end = (tap + 1 - TAPS) * dilation or _TO_THE_END
        yield graph.sliced(padded, tap * dilation, end)
