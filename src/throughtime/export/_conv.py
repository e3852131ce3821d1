"""Convolution that keeps the lengths."""

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, steps_of
from throughtime.export._place import Place
from throughtime.nn.description import Operator


def add_conv(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::conv1d: zeros stand where a sequence has ended, as behind one that is alone.

    Raises
    ------
    ShapeError
        If it changes lengths, has another border than zeros, or reads other features.
    """
    weight, bias = operator.arguments["weight"], operator.arguments["bias"]
    windows, groups = operator.arguments["windows"], operator.arguments["groups"]
    steps = steps_of(value, place.name, weight.shape[1] * groups)
    if not windows.keeps_lengths or operator.arguments["padding_mode"] != "zeros":
        raise ShapeError(
            f"{place.name}: only convolutions that keep the lengths are exported: stride 1, and padding "
            "'same' or 'causal' with zeros"
        )
    constants = [batch.graph.constant(weight, place.weight("weight"))]
    if bias is not None:
        constants.append(batch.graph.constant(bias, place.weight("bias")))
    convolved = batch.graph.add(
        "Conv",
        batch.channels_first(batch.masked(steps, batch.real)),
        *constants,
        kernel_shape=[windows.size],
        dilations=[windows.dilation],
        group=groups,
        pads=[windows.left, windows.right],
    )
    return batch.steps_last(convolved, weight.shape[0])
