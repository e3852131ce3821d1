"""Cells of torch.nn and of this package, whose native code a trace cannot look into, by their equations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from throughtime.nn.recurrent.gru import GRUSpec
from throughtime.nn.recurrent.lstm import LSTMSpec
from throughtime.nn.recurrent.rnn import RNNSpec
from throughtime.ops.recurrent.activations import Activation
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.steps import TIME_MAJOR
from throughtime.ops.recurrent.weights import Weights, directions_of

_TORCH: dict[str, CellSpec] = {
    "rnn_tanh_cell": RNNSpec((Activation("tanh"),)),
    "rnn_relu_cell": RNNSpec((Activation("relu"),)),
    "lstm_cell": LSTMSpec(),
    "gru_cell": GRUSpec(),
}


def plain_cell(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return what a call of a cell returns, or None if the function is no cell."""
    name = getattr(function, "__name__", "")
    if name in _TORCH and function is getattr(torch, name, None):
        return _cell_of_torch(_TORCH[name], *arguments)
    if str(function).startswith("throughtime.recurrent_layer"):
        return _layer_of_one_step(*arguments)
    return None


def _cell_of_torch(spec: CellSpec, x: Tensor, state: Any, *weights: Tensor | None) -> Any:
    h, c = state if spec.has_c else (state, state.new_zeros(state.shape[0], 0))
    after, _ = spec.step(x, State(h, c), Weights(*weights, None, None, None), None)  # type: ignore[arg-type]
    return (after.h, after.c) if spec.has_c else after.h


def _layer_of_one_step(
    x: Tensor,
    _index: Any,
    reset: Tensor | None,
    order: int,
    batch: int,
    length: int,
    cell: str,
    h0: Tensor | None,
    c0: Tensor | None,
    *weights: Tensor | None,
) -> Any:
    """Run the operator of recurrent layers on one step of each sequence, which is what a cell asks it for."""
    spec, directions = CellSpec.parse(cell), directions_of(weights)
    if order != TIME_MAJOR or length != 1 or len(directions) != 1 or reset is not None:
        return None
    hidden = directions[0].hh.shape[0] // spec.gates if spec.has_c else 0
    h, c = (
        x.new_zeros(batch, size) if part is None else part[0]
        for part, size in ((h0, directions[0].hh.shape[1]), (c0, hidden))
    )
    after, gates = spec.step(x, State(h, c), directions[0], None)
    c_n = after.c[None] if spec.has_c else x.new_zeros(0)
    return after.h, after.h[None], c_n, c_n, gates[None]
