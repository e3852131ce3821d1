"""Correspondence of the classes of torch.nn and throughtime.nn, and conversion of objects between them."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from throughtime import nn as layers
from throughtime.nn.recurrent.gru import GRUSpec
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.nn.recurrent.lstm import LSTMSpec
from throughtime.nn.recurrent.rnn import RNNSpec
from throughtime.nn.recurrent.weights import plan_of_layer
from throughtime.ops.recurrent.activations import RELU
from throughtime.ops.recurrent.spec import CellSpec

OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: layers.RNN,
    nn.LSTM: layers.LSTM,
    nn.GRU: layers.GRU,
    nn.RNNCell: layers.RNNCell,
    nn.LSTMCell: layers.LSTMCell,
    nn.GRUCell: layers.GRUCell,
    nn.Conv1d: layers.Conv1d,
    nn.ConvTranspose1d: layers.ConvTranspose1d,
    nn.MaxPool1d: layers.MaxPool1d,
    nn.AvgPool1d: layers.AvgPool1d,
    nn.GroupNorm: layers.GroupNorm,
    nn.InstanceNorm1d: layers.InstanceNorm1d,
}
"""The class of ours for each class of torch.nn."""

TORCH = {ours: torch_class for torch_class, ours in OURS.items()}
"""The class of torch.nn for each of ours."""


def plain_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module without its parametrizations, which are a subclass."""
    cls = type(module)
    return cls.__bases__[0] if parametrize.is_parametrized(module) else cls


def set_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Set the class of a module, and keep the properties of its parametrizations."""
    if parametrize.is_parametrized(module):
        before = type(module)
        names = vars(before).keys() - {"__dict__", "__weakref__", "__doc__"}
        cls = type(before.__name__, (cls,), {name: vars(before)[name] for name in names})
    module.__class__ = cls


def added_attributes(module: Any, ours: type[nn.Module]) -> dict[str, Any]:
    """Return the attributes of our class that the corresponding class of torch.nn does not have."""
    if issubclass(ours, Recurrent):
        spec = _SPECS[module.mode]()
        return {
            "spec": spec,
            "context_size": 0,
            "learn_initial_state": False,
            "weight_plan": plan_of_layer(module, spec),
        }
    return {"causal": False} if ours is layers.Conv1d else {}


def added_names(ours: type[nn.Module]) -> tuple[str, ...]:
    """Return the names of `added_attributes`."""
    if issubclass(ours, Recurrent):
        return "spec", "context_size", "learn_initial_state", "weight_plan"
    return ("causal",) if ours is layers.Conv1d else ()


_SPECS: dict[str, Callable[[], CellSpec]] = {
    "RNN_TANH": RNNSpec,
    "RNN_RELU": lambda: RNNSpec((RELU,)),
    "LSTM": LSTMSpec,
    "GRU": GRUSpec,
}
"""The specification of each cell, by torch's ``mode``."""
