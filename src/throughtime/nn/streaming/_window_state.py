"""The state of a layer with windows on a stream: the steps that the next windows still see."""

from typing import Any

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout, Ragged

State = tuple[Tensor, Tensor]
"""The last steps (B, reach, C), and (B,) int64: how many more have to come until a window is full, less 1.

The numbers are on the CPU, whatever the device of the steps: Python code branches on them.
"""


def begin(x: Ragged, windows: Windows) -> State:
    """Return the state before the first step: zeros as far as the border goes."""
    streams = x.layout.num_sequences
    history = x.values.new_zeros(streams, windows.reach, *x.shape[1:])
    return history, torch.full((streams,), windows.reach - windows.left)


def check(state: Any, x: Ragged, windows: Windows, name: str) -> None:
    """Refuse a state that is not of such a layer and batch."""
    if (
        not isinstance(state, tuple | list)
        or len(state) != 2
        or not all(isinstance(p, Tensor) for p in state)
    ):
        raise InputTypeError(
            f"{name}: the state of a layer with windows is a pair of tensors, got {type(state)}"
        )
    history, wait = state
    expected = (x.layout.num_sequences, windows.reach, *x.shape[1:])
    if history.shape != expected or wait.shape != expected[:1]:
        raise ShapeError(
            f"{name}: the state has shapes {tuple(history.shape)} and {tuple(wait.shape)}, expected "
            f"{expected} and {expected[:1]}: (streams, steps, features)"
        )
    if history.dtype != x.dtype or history.device != x.device:
        raise InputTypeError(
            f"{name}: the state is {history.dtype} on {history.device}, the input {x.dtype} on {x.device}"
        )


def advance(state: State, x: Ragged, windows: Windows) -> tuple[Ragged, State]:
    """Return the steps in which the next windows lie, the first at their beginning, and the next state."""
    history, wait = state[0], state[1].cpu()
    joined, last = _joined_equal(history, x) if _are_equal(x) else _joined(history, x)
    # A window is full at the steps wait, wait + stride, … of this chunk: so many windows begin in it.
    full = (x.lengths - wait + windows.stride - 1).div(windows.stride, rounding_mode="floor").clamp(min=0)
    after = wait + full * windows.stride - x.lengths
    # A graph is for all states, and cannot branch on one.
    if torch.compiler.is_compiling() or bool(wait.any()):
        joined = joined.split_time(wait)[1]
    return joined, (last, after)


def _are_equal(x: Ragged) -> bool:
    if torch.compiler.is_compiling():
        return False  # a graph is for all lengths
    return len(x) > 0 and bool((x.lengths == x.longest).all())


def _joined_equal(history: Tensor, x: Ragged) -> tuple[Ragged, Tensor]:
    """Put chunks of one length behind what came before."""
    count, reach = history.shape[:2]
    rows = torch.cat([history, x.values.unflatten(0, (count, x.longest))], 1)
    layout = Layout.from_lengths(torch.full((count,), rows.shape[1]), x.device)
    return Ragged(rows.flatten(0, 1), layout.offsets, layout=layout), rows[:, rows.shape[1] - reach :]


def _joined(history: Tensor, x: Ragged) -> tuple[Ragged, Tensor]:
    """Put chunks of any lengths behind what came before."""
    count, reach = history.shape[:2]
    before = Ragged(history.flatten(0, 1), torch.arange(count + 1, device=x.device) * reach)
    joined = Ragged.cat_time([before, x])
    steps = torch.arange(reach, device=x.device) - reach
    rows = (joined.offsets[1:, None] + steps).flatten()
    return joined, joined.values.index_select(0, rows).unflatten(0, (count, reach))
