"""A cell of torch.nn, or of ours, as the transition of a recurrence: then the native loop knows all of it."""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from throughtime.nn._precision import under_autocast
from throughtime.nn._weights import checked_weights
from throughtime.ops._plain import HALF
from throughtime.ops.cell import Cell, spec_of
from throughtime.ops.recurrent import recurrent_layer
from throughtime.ops.steps import Steps, Weights


def call_cell(cell: nn.RNNCellBase, state: Any, x: Any) -> Any:
    """Run a cell as f(state, x); cells take x first."""
    return cell(x, state)


def native_states(cell: nn.RNNCellBase, tokens: Tensor, steps: Steps, state: Any) -> tuple[Any, Any] | None:
    """Return the state after every step (T, …) and each sequence's last (B, …), or None if the loop cannot.

    It can where nothing but the cell's own equations is asked for: there is no hook, and dtypes agree. Half
    precision is computed in float32, as layers do.
    """
    lstm = isinstance(cell, nn.LSTMCell)
    parts = list(state) if lstm else [state]
    plain = tokens.dim() == 2 and tokens.dtype == cell.weight_ih.dtype and not under_autocast(tokens.device)
    hooked = cell._forward_hooks or cell._forward_pre_hooks or cell._backward_hooks  # noqa: SLF001
    if not plain or hooked or any(part.dtype != tokens.dtype or part.dim() != 2 for part in parts):
        return None
    name, dtype = _cell_name(cell), torch.float32 if tokens.dtype in HALF else tokens.dtype
    weights = checked_weights(
        Weights(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, None),
        spec_of(name),
        cell.input_size,
        cell.hidden_size,
        0,
        dtype,
        type(cell).__name__,
    )
    if tokens.shape[1] != cell.input_size:
        return None  # the cell itself has the words for it
    h0, c0 = parts[0][None].to(dtype), (parts[1][None].to(dtype) if lstm else None)
    results = recurrent_layer(tokens.to(dtype), steps, name, h0, c0, (weights,), save=lstm)
    y, h_n, c_n, c, _ = (part.to(tokens.dtype) for part in results)
    return ((y, c[0]), (h_n[0], c_n[0])) if lstm else (y, h_n[0])


def _cell_name(cell: nn.RNNCellBase) -> Cell:
    if isinstance(cell, nn.LSTMCell):
        return "LSTM"
    if isinstance(cell, nn.GRUCell):
        return "GRU"
    return "RNN_TANH" if cell.nonlinearity == "tanh" else "RNN_RELU"


def is_cell(f: object) -> TypeGuard[nn.RNNCellBase]:
    """Tell whether this is one of torch's cells, or of ours, and not something derived from one."""
    kinds = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
    return isinstance(f, kinds) and type(f).__module__ in {"torch.nn.modules.rnn", "throughtime.nn._cells"}


def size_of(f: nn.RNNCellBase) -> Any:
    """Return the description of the state that a cell has."""
    return (f.hidden_size, f.hidden_size) if isinstance(f, nn.LSTMCell) else f.hidden_size
