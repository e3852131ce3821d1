"""MiniRocket's features: dilated sums as slices of a padded batch, in the order in which the kernels add."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from torch import Tensor

from throughtime.export._batch import Batch, Steps, Value, Vectors, steps_of
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.nn.description import Operator
from throughtime.ops.rocket.kernels import KERNELS, TAPS, DilatedKernels, by_dilation

if TYPE_CHECKING:
    from throughtime.export._model_graph import ModelGraph

_TO_THE_END = 2**31 - 1
_MIDDLE = TAPS // 2


def add_rocket(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::rocket: of each series its proportions of positive values, or all statistics."""
    steps, graph = steps_of(value, place.name), batch.graph
    every = operator.arguments["all_statistics"]
    parts: list[str] = []
    for row, of_row in enumerate(zip(*(_tensor(operator, name) for name in _NAMES), strict=True)):
        series = _differences(batch, steps) if row else _series(batch, steps)
        of_dilations = [_features(graph, series, kernels, every=every) for kernels in by_dilation(*of_row)]
        parts += [_joined(graph, statistic) for statistic in zip(*of_dilations, strict=True)]
    features = operator.arguments["biases"].numel() * (_STATISTICS if every else 1)
    return Vectors(_joined(graph, parts), features)


def _joined(graph: Graph, parts: Sequence[str]) -> str:
    return graph.add("Concat", *parts, axis=1)


_STATISTICS = 4
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


def _features(graph: Graph, series: _Series, kernels: DilatedKernels, *, every: bool) -> list[str]:
    """Return statistics (B, 84 · n) of outputs greater than the biases of one dilation, the first or all."""
    last, size = graph.constant([3]), kernels.biases.numel()
    outputs = graph.add("Unsqueeze", _outputs(graph, series, kernels), last)
    biases = graph.constant(kernels.biases.numpy())
    positive = graph.add("Greater", outputs, biases)
    inner = np.arange(kernels.number, kernels.number + len(KERNELS)) % 2 == 1
    counted = _counted(graph, series, inner, 4 * kernels.dilation)
    positive = graph.add("And", positive, graph.add("Unsqueeze", counted.mask, last))
    ones = graph.numbers(positive)
    counts = graph.sum_over(ones, [0])
    statistics = [graph.add("Div", counts, graph.add("Unsqueeze", counted.sizes, graph.constant([2])))]
    if every:
        zero = graph.number(0.0)
        above = graph.add("Where", positive, graph.add("Sub", outputs, biases), zero)
        places = graph.add("Where", positive, graph.add("Unsqueeze", counted.places, last), zero)
        statistics += [_mean(graph, above, counts, 0.0), _mean(graph, places, counts, -1.0)]
        statistics += [_longest(graph, ones, counts)]
    return [graph.reshaped(statistic, [0, size]) for statistic in statistics]


def _mean(graph: Graph, values: str, counts: str, otherwise: float) -> str:
    """Return the mean of the values that are counted, and a number where there are none."""
    none = graph.add("Equal", counts, graph.number(0.0))
    number = graph.add("Max", counts, graph.number(1.0))
    mean = graph.add("Div", graph.sum_over(values, [0]), number)
    return graph.add("Where", none, graph.number(otherwise), mean)


def _longest(graph: Graph, ones: str, counts: str) -> str:
    """Return the length of the longest stretch of ones (L, …), in the shape of their counts."""
    # Only a model of its own has such a layer: `torch.onnx.export` refuses it.
    model, none = cast("ModelGraph", graph), graph.add("Mul", counts, graph.number(0.0))

    def step(states: Sequence[str], one: str) -> tuple[Sequence[str], Sequence[str]]:
        stretch = graph.add("Mul", graph.add("Add", states[0], graph.number(1.0)), one)
        return [stretch, graph.add("Max", states[1], stretch)], []

    return model.scan(step, [none, none], ones)[0][1]


class _Counted(NamedTuple):
    """Which outputs count, (L, B, 84), how many of a series do, (B, 84), at least 1, and their numbers."""

    mask: str
    sizes: str
    places: str


def _counted(graph: Graph, series: _Series, inner: np.ndarray, border: int) -> _Counted:
    """Return which outputs of the kernels of one dilation count."""
    one, last = graph.constant([1]), graph.constant([2])
    lengths = graph.add("Unsqueeze", series.lengths, one)
    is_long = graph.add("GreaterOrEqual", lengths, graph.constant([4 * border]))
    cut = graph.add("And", is_long, graph.constant(inner))
    borders = graph.add("Where", cut, graph.constant([border]), graph.constant([0]))
    ends = graph.add("Sub", lengths, borders)
    times = graph.add("Unsqueeze", series.times, last)
    counted = graph.add("And", graph.add("GreaterOrEqual", times, borders), graph.add("Less", times, ends))
    sizes = graph.numbers(graph.add("Max", graph.add("Sub", ends, borders), one))
    return _Counted(counted, sizes, graph.numbers(graph.add("Sub", times, borders)))


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
