"""Replacements of functions that cannot be traced into: cells, a product, padding."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.steps import TIME_MAJOR
from throughtime.ops.recurrent.weights import Weights, directions_of

_TORCH = {
    "rnn_tanh_cell": "RNN",
    "rnn_relu_cell": 'RNN{"activations": [["relu", 0.0, 0.0]]}',
    "lstm_cell": "LSTM",
    "gru_cell": "GRU",
}
"""The cells of torch, as `CellSpec.parse` reads them."""


def plain_call(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return what a call returns, or None if the function may be called as it is."""
    name = getattr(function, "__name__", "")
    if name in _PLAIN:
        return _PLAIN[name](*arguments, **options)
    if name in _TORCH and function is getattr(torch, name, None):
        return _cell_of_torch(CellSpec.parse(_TORCH[name]), *arguments, **options)
    if str(function).startswith("throughtime.recurrent_layer"):
        return _layer_of_one_step(*arguments)
    return None


def _bilinear(a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    result = torch.einsum("...i,oij,...j->...o", a, weight, b)
    return result if bias is None else result + bias


def _pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor | None:
    if mode != "constant" or len(pad) // 2 >= x.dim() or min(pad) < 0:
        return None
    for number in range(len(pad) // 2):
        dim = x.dim() - 1 - number
        before, after = (
            x.new_full((*x.shape[:dim], count, *x.shape[dim + 1 :]), value or 0.0)
            for count in pad[2 * number : 2 * number + 2]
        )
        x = torch.cat([before, x, after], dim)
    return x


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """Let the sequences come first, so that torch's product of matrices does not put them after features."""
    rows = next((dim for dim, size in enumerate(x.shape) if isinstance(size, torch.SymInt)), 0)
    if not rows or x.dim() < 3:
        return None
    return linear(x.movedim(rows, 0), weight, bias).movedim(0, rows)


_PLAIN: dict[str, Callable[..., Any]] = {"bilinear": _bilinear, "pad": _pad, "linear": _linear}


def _cell_of_torch(
    spec: CellSpec,
    x: Tensor,
    state: Any,
    ih: Tensor,
    hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
) -> Any:
    h, c = state if spec.has_c else (state, state.new_zeros(state.shape[0], 0))
    after, _ = spec.step(x, State(h, c), Weights(ih, hh, bias_ih, bias_hh, None, None, None), None)
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
    if reset is not None or order != TIME_MAJOR or length != 1 or len(directions) != 1:
        return None
    hidden = directions[0].hh.shape[0] // spec.gates if spec.has_c else 0
    h, c = (
        x.new_zeros(batch, size) if part is None else part[0]
        for part, size in ((h0, directions[0].hh.shape[1]), (c0, hidden))
    )
    after, gates = spec.step(x, State(h, c), directions[0], None)
    c_n = after.c[None] if spec.has_c else x.new_zeros(0)
    return after.h, after.h[None], c_n, c_n, gates[None]
