"""Modules that stand between tokens and logits, each as a few nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import KindError, ShapeError
from throughtime.export._batch import FLOAT, Batch, Steps, Vectors
from throughtime.export._recurrent import add_recurrent
from throughtime.models import BiGRU, BiLSTM, TextCNN
from throughtime.nn import GRU, LSTM, RNN, Conv1d, ConvBlock, Pool, WideConv

Value = Steps | Vectors

_ACTIVATIONS: dict[Any, str] = {
    F.relu: "Relu",
    torch.relu: "Relu",
    torch.tanh: "Tanh",
    torch.sigmoid: "Sigmoid",
    nn.ReLU: "Relu",
    nn.Tanh: "Tanh",
    nn.Sigmoid: "Sigmoid",
}


def add_module(batch: Batch, module: nn.Module, value: Value, name: str) -> Value:
    """Add a module to the graph as it computes in evaluation mode.

    Raises
    ------
    KindError
        If nothing here knows the module.
    ShapeError
        If it has an option that cannot be exported.
    """
    for kinds, add in _KNOWN:
        if type(module) in kinds:
            return add(batch, module, value, name)
    known = ", ".join(sorted({kind.__name__ for kinds, _ in _KNOWN for kind in kinds}))
    raise KindError(
        f"{name or 'the model'} is a {type(module).__name__}, which has no form in ONNX here; "
        f"these have one: {known}"
    )


def chain(batch: Batch, parts: list[tuple[str, nn.Module]], value: Value, name: str) -> Value:
    """Add modules one after the other."""
    for own, part in parts:
        value = add_module(batch, part, value, f"{name}.{own}" if name else own)
    return value


def _sequential(batch: Batch, module: Any, value: Value, name: str) -> Value:
    return chain(batch, list(module.named_children()), value, name)


def _bi_recurrent(batch: Batch, module: Any, value: Value, name: str) -> Value:
    parts = ("embedding", "recurrent", "pool", "output")
    return chain(batch, [(part, getattr(module, part)) for part in parts], value, name)


def _text_cnn(batch: Batch, module: Any, value: Value, name: str) -> Value:
    parts = ("embedding", "convolutions", "pool", "output")
    return chain(batch, [(part, getattr(module, part)) for part in parts], value, name)


def _nothing(_batch: Batch, _module: Any, value: Value, _name: str) -> Value:
    return value


def _embedding(batch: Batch, module: Any, value: Value, name: str) -> Value:
    if module.max_norm is not None:
        raise ShapeError(f"{name}: an Embedding with max_norm changes its weights as it reads; leave it out")
    weight = batch.graph.constant(module.weight, f"{name}.weight")
    return Steps(batch.graph.add("Gather", weight, value.name, axis=0), module.embedding_dim)


def _recurrent(batch: Batch, module: Any, value: Value, name: str) -> Value:
    return add_recurrent(batch, module, _steps(value, name), name).steps


def _linear(batch: Batch, module: Any, value: Value, name: str) -> Value:
    graph = batch.graph
    result = graph.add("MatMul", value.name, graph.constant(module.weight.t(), f"{name}.weight"))
    if module.bias is not None:
        result = graph.add("Add", result, graph.constant(module.bias, f"{name}.bias"))
    return type(value)(result, module.out_features)


def _activation(batch: Batch, module: Any, value: Value, _name: str) -> Value:
    return type(value)(batch.graph.add(_ACTIVATIONS[type(module)], value.name), value.features)  # type: ignore[arg-type]


def _pool(batch: Batch, module: Any, value: Value, name: str) -> Value:
    graph, steps = batch.graph, _steps(value, name)
    over_time = graph.constant([0])
    if module.kind == "max":
        real = batch.masked(steps, batch.real, -np.inf).name
        highest = graph.add("ReduceMax", real, axes=[0], keepdims=0)
        return Vectors(graph.add("Where", batch.empty, graph.number(0.0), highest), _width(steps))
    mask = batch.last if module.kind == "last" else batch.real
    total = graph.add("ReduceSum", batch.masked(steps, mask).name, over_time, keepdims=0)
    if module.kind == "last":
        return Vectors(total, _width(steps))
    count = graph.add("Cast", graph.add("Max", batch.lengths, graph.constant([1])), to=FLOAT)
    return Vectors(graph.add("Div", total, graph.add("Unsqueeze", count, graph.constant([1]))), _width(steps))


def _wide(batch: Batch, module: Any, value: Value, name: str) -> Value:
    found = [
        _steps(_block(batch, block, value, f"{name}.blocks.{i}"), name)
        for i, block in enumerate(module.blocks)
    ]
    joined = batch.graph.add("Concat", *(one.name for one in found), axis=2)
    return Steps(joined, sum(_width(one) for one in found))


def _block(batch: Batch, module: Any, value: Value, name: str) -> Value:
    if module.pool is not None:
        raise ShapeError(
            f"{name}: max pooling over windows changes the lengths, which this export cannot yet"
        )
    convolved = _convolved(batch, module.conv, _steps(value, name), f"{name}.conv")
    graph = batch.graph
    if module.norm is not None:
        norm = module.norm
        tensors = {
            "scale": getattr(norm, "weight", None),
            "shift": getattr(norm, "bias", None),
            "mean": getattr(norm, "running_mean", None),
            "variance": getattr(norm, "running_var", None),
        }
        known = {part: tensor for part, tensor in tensors.items() if isinstance(tensor, Tensor)}
        if not isinstance(norm, nn.BatchNorm1d) or known.keys() != tensors.keys():
            raise ShapeError(
                f"{name}: {type(norm).__name__} is not exported here; BatchNorm1d with running statistics "
                "and a learned scale is"
            )
        constants = [graph.constant(tensor, f"{name}.norm.{part}") for part, tensor in known.items()]
        convolved = graph.add("BatchNormalization", convolved, *constants, epsilon=norm.eps)
    result = Steps(graph.add("Transpose", convolved, perm=[2, 0, 1]), module.conv.out_channels)
    activation = module.activation
    if activation is None:
        return result
    operator = _ACTIVATIONS.get(type(activation) if isinstance(activation, nn.Module) else activation)
    if operator is None:
        raise ShapeError(
            f"{name}: the activation {activation!r} has no form in ONNX here; relu, tanh and sigmoid have"
        )
    return Steps(graph.add(operator, result.name), result.features)


def _conv(batch: Batch, module: Any, value: Value, name: str) -> Value:
    convolved = _convolved(batch, module, _steps(value, name), name)
    return Steps(batch.graph.add("Transpose", convolved, perm=[2, 0, 1]), module.out_channels)


def _convolved(batch: Batch, conv: Conv1d, steps: Steps, name: str) -> str:
    """Return (B, C, L): zeros stand where a sequence has ended, as they do behind one that is alone."""
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


def _steps(value: Value, name: str) -> Steps:
    if isinstance(value, Steps):
        return value
    raise ShapeError(f"{name} needs a value for every step, but what comes before it has pooled over time")


def _width(steps: Steps) -> int:
    return steps.features or 0


_KNOWN: list[tuple[tuple[type[nn.Module], ...], Callable[[Batch, Any, Value, str], Value]]] = [
    ((nn.Sequential,), _sequential),
    ((BiLSTM, BiGRU), _bi_recurrent),
    ((TextCNN,), _text_cnn),
    ((nn.Embedding,), _embedding),
    ((RNN, LSTM, GRU), _recurrent),
    ((WideConv,), _wide),
    ((ConvBlock,), _block),
    ((Conv1d,), _conv),
    ((Pool,), _pool),
    ((nn.Linear,), _linear),
    ((nn.ReLU, nn.Tanh, nn.Sigmoid), _activation),
    ((nn.Dropout, nn.Identity), _nothing),
]
