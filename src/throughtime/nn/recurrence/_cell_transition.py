"""A cell of torch.nn or throughtime.nn as the transition of a recurrence, which runs in the native loop."""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from throughtime.nn.inputs.precision import under_autocast
from throughtime.nn.recurrent.cells import CELLS, spec_of_cell
from throughtime.nn.recurrent.weights import plan_of_cell
from throughtime.ops.plain import HALF
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.steps import Steps


def call_cell(cell: nn.RNNCellBase, state: Any, x: Any) -> Any:
    """Run a cell as f(state, x); cells take x first."""
    return cell(x, state)


def native_states(cell: nn.RNNCellBase, tokens: Tensor, steps: Steps, state: Any) -> tuple[Any, Any] | None:
    """Return the state after every step (T, …) and each sequence's last (B, …), or None if the loop cannot.

    It can where nothing but the cell's own equations is asked for: there is no hook, and dtypes agree. Half
    precision is computed as in layers, see `throughtime.nn.inputs.precision`.
    """
    spec = spec_of_cell(cell)
    parts = list(state) if spec.has_c else [state]
    plain = tokens.dim() == 2 and tokens.dtype == cell.weight_ih.dtype and not under_autocast(tokens.device)
    hooked = cell._forward_hooks or cell._forward_pre_hooks or cell._backward_hooks  # noqa: SLF001
    if not plain or hooked or any(part.dtype != tokens.dtype or part.dim() != 2 for part in parts):
        return None
    dtype = torch.float32 if tokens.dtype in HALF else tokens.dtype
    (weights,) = plan_of_cell(cell, spec).weights(cell, dtype)
    if tokens.shape[1] != cell.input_size:
        return None  # the cell itself has the words for it
    h0, c0 = parts[0][None].to(dtype), (parts[1][None].to(dtype) if spec.has_c else None)
    run = spec.in_bfloat16 if tokens.dtype == torch.bfloat16 else spec
    results = recurrent_layer(tokens.to(dtype), steps, run, h0, c0, weights, save=spec.has_c)
    y, h_n, c_n, c, _ = (part.to(tokens.dtype) for part in results)
    return ((y, c[0]), (h_n[0], c_n[0])) if spec.has_c else (y, h_n[0])


def is_cell(f: object) -> TypeGuard[nn.RNNCellBase]:
    """Tell whether this is one of torch's cells, or of ours, and not something derived from one."""
    return type(f) in {nn.RNNCell, nn.LSTMCell, nn.GRUCell, *CELLS}


def size_of(f: nn.RNNCellBase) -> Any:
    """Return the description of the state that a cell has."""
    return (f.hidden_size, f.hidden_size) if spec_of_cell(f).has_c else f.hidden_size
