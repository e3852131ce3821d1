"""Pooling over windows that slide over each sequence of a padded batch."""

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, features_of, steps_of
from throughtime.export._lengths import resized
from throughtime.export._place import Place
from throughtime.nn.description import Operator, Windowed


def add_max_pool(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::max_over_windows in a model, with the lengths that it gives the sequences."""
    return _resized(batch, operator, add_max_over_windows(batch, operator, value, place), place)


def add_mean_pool(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::mean_over_windows in a model, with the lengths that it gives the sequences."""
    return _resized(batch, operator, add_mean_over_windows(batch, operator, value, place), place)


def _resized(batch: Batch, operator: Operator, steps: Steps, place: Place) -> Steps:
    windows, ceil_mode = operator.arguments["windows"], operator.arguments["ceil_mode"]
    if windows.keeps_lengths:
        return steps
    return resized(batch, steps, Windowed(windows, ceil_mode=ceil_mode), place)


def add_max_over_windows(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::max_over_windows; −∞ stands beyond both ends of a sequence."""
    windows, steps = operator.arguments["windows"], steps_of(value, place.name)
    name = batch.graph.add(
        "MaxPool",
        _bordered(batch, operator, steps, float("-inf")),
        kernel_shape=[windows.size],
        strides=[windows.stride],
        dilations=[windows.dilation],
    )
    return batch.steps_last(name, features_of(steps, place.name))


def add_mean_over_windows(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::mean_over_windows: over the steps in a window, and those in the borders if counted.

    Raises
    ------
    ShapeError
        If the windows are dilated, which ONNX has from opset 19.
    """
    graph, windows = batch.graph, operator.arguments["windows"]
    steps = steps_of(value, place.name)
    if windows.dilation != 1:
        raise ShapeError(f"{place.name}: only means over windows with dilation 1 are exported")
    name = graph.add(
        "AveragePool",
        _bordered(batch, operator, steps, 0.0),
        kernel_shape=[windows.size],
        strides=[windows.stride],
    )
    means = batch.steps_last(name, features_of(steps, place.name))
    of_taps = Batch.of(graph, batch.lengths, means.name)
    real = _taps_in(of_taps, operator)
    scale = graph.add("Div", graph.number(windows.size), graph.numbers(real))
    return Steps(graph.add("Mul", means.name, scale), means.features)


def _bordered(batch: Batch, operator: Operator, steps: Steps, border: float) -> str:
    """(B, D, left + L + right), where the last window may begin at any step."""
    graph, windows = batch.graph, operator.arguments["windows"]
    right = max(windows.right, windows.reach - windows.left) + windows.stride - 1
    ends = graph.constant([0, 0, windows.left, 0, 0, right])
    masked = batch.channels_first(batch.masked(steps, batch.real, border))
    return graph.add("Pad", masked, ends, graph.number(border))


def _taps_in(windows_of: Batch, operator: Operator) -> str:
    """(L', B, 1) int64: how many taps of each window lie in the sequence or a counted border, at least 1."""
    graph, windows = windows_of.graph, operator.arguments["windows"]
    counted = operator.arguments["count_padding"]
    low, high = (-windows.left, windows.right) if counted else (0, 0)
    scaled = graph.add("Mul", windows_of.times, graph.constant([windows.stride]))
    first = graph.add("Sub", scaled, graph.constant([windows.left]))
    begin = graph.add("Max", first, graph.constant([low]))
    behind = graph.add("Add", first, graph.constant([windows.size]))
    end = graph.add("Min", behind, graph.add("Add", windows_of.lengths, graph.constant([high])))
    count = graph.add("Max", graph.add("Sub", end, begin), graph.constant([1]))
    return graph.add("Unsqueeze", count, graph.constant([2]))
