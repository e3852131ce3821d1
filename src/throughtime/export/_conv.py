"""Convolution that keeps the lengths, and blocks of it."""

from typing import Any

from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.export._activations import add_activation
from throughtime.export._batch import Batch, Steps, Value, features_of, steps_of
from throughtime.export._kind import kind_of
from throughtime.nn import Conv1d, ConvBlock


def add_wide(batch: Batch, module: Any, value: Value, name: str) -> Steps:
    """Add the blocks of a `throughtime.nn.WideConv`, whose features stand side by side."""
    outputs = [add_block(batch, block, value, f"{name}.blocks.{i}") for i, block in enumerate(module.blocks)]
    joined = batch.graph.add("Concat", *(output.name for output in outputs), axis=2)
    return Steps(joined, sum(features_of(output, name) for output in outputs))


def add_block(batch: Batch, module: Any, value: Value, name: str) -> Steps:
    """Add a `throughtime.nn.ConvBlock`.

    Raises
    ------
    ShapeError
        If one of its parts has no form here.
    """
    if kind_of(module) is not ConvBlock:
        raise ShapeError(f"{name} is a {type(module).__name__}, expected a ConvBlock")
    if module.pool is not None:
        raise ShapeError(
            f"{name}: max pooling over windows changes the lengths, which this export cannot yet"
        )
    if kind_of(module.conv) is not Conv1d:
        raise ShapeError(f"{name}.conv is a {type(module.conv).__name__}, expected a throughtime.nn.Conv1d")
    convolved = _convolved(batch, module.conv, value, f"{name}.conv")
    if module.norm is not None:
        convolved = _normalized(batch, module.norm, convolved, module.conv.out_channels, f"{name}.norm")
    if module.dropout is not None and kind_of(module.dropout) is not nn.Dropout:
        raise ShapeError(f"{name}.dropout is a {type(module.dropout).__name__}, expected a Dropout")
    result = batch.graph.add("Transpose", convolved, perm=[2, 0, 1])
    if module.activation is not None:
        result = add_activation(batch, module.activation, result, name)
    return Steps(result, module.conv.out_channels)


def add_conv(batch: Batch, module: Any, value: Value, name: str) -> Steps:
    """Add a `throughtime.nn.Conv1d`."""
    convolved = _convolved(batch, module, value, name)
    return Steps(batch.graph.add("Transpose", convolved, perm=[2, 0, 1]), module.out_channels)


def _convolved(batch: Batch, conv: Conv1d, value: Value, name: str) -> str:
    """Return (B, C, L): zeros stand where a sequence has ended, as they do behind one that is alone."""
    steps = steps_of(value, name, conv.in_channels)
    windows, graph = conv.windows, batch.graph
    reach = windows.dilation * (windows.size - 1)
    if windows.stride != 1 or windows.left + windows.right != reach or conv.padding_mode != "zeros":
        raise ShapeError(
            f"{name}: only convolutions that keep the lengths are exported: stride 1, and padding 'same' or "
            "'causal' with zeros"
        )
    channels_first = graph.add("Transpose", batch.masked(steps, batch.real).name, perm=[1, 2, 0])
    constants = [graph.constant(conv.weight, f"{name}.weight")]
    if conv.bias is not None:
        constants.append(graph.constant(conv.bias, f"{name}.bias"))
    return graph.add(
        "Conv",
        channels_first,
        *constants,
        kernel_shape=[windows.size],
        dilations=[windows.dilation],
        group=conv.groups,
        pads=[windows.left, windows.right],
    )


def _normalized(batch: Batch, norm: Any, channels_first: str, channels: int, name: str) -> str:
    tensors = {
        "scale": getattr(norm, "weight", None),
        "shift": getattr(norm, "bias", None),
        "mean": getattr(norm, "running_mean", None),
        "variance": getattr(norm, "running_var", None),
    }
    known = {part: tensor for part, tensor in tensors.items() if isinstance(tensor, Tensor)}
    if kind_of(norm) is not nn.BatchNorm1d or known.keys() != tensors.keys():
        raise ShapeError(
            f"{name}: {type(norm).__name__} is not exported here; BatchNorm1d with running statistics "
            "and a learned scale is"
        )
    if norm.num_features != channels:
        raise ShapeError(f"{name} reads {norm.num_features} features, but gets {channels}")
    constants = [batch.graph.constant(tensor, f"{name}.{part}") for part, tensor in known.items()]
    return batch.graph.add("BatchNormalization", channels_first, *constants, epsilon=norm.eps)
