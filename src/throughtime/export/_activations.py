"""Activations, as functions and as modules."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch
from throughtime.export._kind import kind_of

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid)

_OPERATORS: dict[Any, str] = {
    F.relu: "Relu",
    torch.relu: "Relu",
    torch.tanh: "Tanh",
    F.tanh: "Tanh",
    torch.sigmoid: "Sigmoid",
    F.sigmoid: "Sigmoid",
    nn.ReLU: "Relu",
    nn.Tanh: "Tanh",
    nn.Sigmoid: "Sigmoid",
}


def add_activation(batch: Batch, activation: Any, value: str, name: str) -> str:
    """Add an activation to a value of any shape.

    Raises
    ------
    ShapeError
        If it has no form here.
    """
    operator = _OPERATORS.get(kind_of(activation) if isinstance(activation, nn.Module) else activation)
    if operator is None:
        raise ShapeError(
            f"{name}: the activation {activation!r} has no form in ONNX here; relu, tanh and sigmoid have"
        )
    return batch.graph.add(operator, value)
