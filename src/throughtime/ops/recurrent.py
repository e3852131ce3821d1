"""The loop over time for RNN, LSTM and GRU on ragged batches, by way of torch's own layers.

Tokens are laid out time-major, longest sequence first; a stretch of steps in which the same sequences
are alive is one dense call. So no padding exists, each sequence ends with its own state, and a batch of
one length is a single call. This is the plain form: the native loop takes its place.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import _VF, Tensor

from throughtime.ops._empty import zeros_of
from throughtime.ragged import Layout

Cell = Literal["LSTM", "GRU", "RNN_TANH", "RNN_RELU"]
State = tuple[Tensor, ...]

_DENSE: dict[str, Callable[..., Any]] = {
    "GRU": _VF.gru,
    "RNN_TANH": _VF.rnn_tanh,
    "RNN_RELU": _VF.rnn_relu,
}


def recurrent_direction(
    cell: Cell,
    values: Tensor,
    layout: Layout,
    state: State,
    weights: Sequence[Tensor],
    *,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Run one layer in one direction over every sequence.

    Parameters
    ----------
    cell
        Which recurrence; gate order and equations are torch's.
    values : Tensor
        (T, I) input tokens.
    layout
        Their offsets, B sequences.
    state : tuple of Tensor
        h of shape (B, H), and for LSTM c of shape (B, H) (h is (B, P) with a projection to P).
    weights : sequence of Tensor
        weight_ih (G·H, I), weight_hh (G·H, H), then both biases (G·H,), then weight_hr (P, H); biases and
        projection only where the layer has them.
    reverse
        Read every sequence from its end; the output stays in the order of the input.

    Returns
    -------
    output : Tensor
        (T, H), h of every step.
    state : tuple of Tensor
        The state after each sequence's own last step, shaped like the initial state; unchanged for an
        empty sequence.
    """
    ranks, order, index, stretches = _time_major(layout, reverse=reverse)
    steps = values.index_select(0, index)
    state = tuple(part.index_select(0, order) for part in state)
    outputs, ended, start = [], [], 0
    for length, alive in stretches:
        chunk = steps[start : start + length * alive].view(length, alive, -1)
        start += length * alive
        ended.append(tuple(part[alive:] for part in state))
        output, state = _dense(cell, chunk, tuple(part[:alive] for part in state), weights)
        outputs.append(output.reshape(length * alive, -1))
    ended.append(state)
    final = tuple(torch.cat(parts).index_select(0, ranks) for parts in zip(*reversed(ended), strict=True))
    if not outputs:
        return zeros_of((0, final[0].shape[1]), values, *weights), final
    inverse = torch.empty_like(index)
    inverse[index] = torch.arange(len(index), device=index.device)
    return torch.cat(outputs).index_select(0, inverse), final


def _dense(cell: Cell, chunk: Tensor, state: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    has_biases = len(weights) >= 4
    # torch keeps what the backward pass needs only when told that it trains.
    options = (has_biases, 1, 0.0, torch.is_grad_enabled(), False, False)
    lifted = tuple(part.unsqueeze(0) for part in state)
    if cell == "LSTM":
        output, h, c = _VF.lstm(chunk, lifted, list(weights), *options)
        return output, (h[0], c[0])
    output, h = _DENSE[cell](chunk, lifted[0], list(weights), *options)
    return output, (h[0],)


def _time_major(layout: Layout, *, reverse: bool) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, int]]]:
    """Return ranks, their order, the token index, and the stretches as (steps, sequences alive)."""
    device = layout.offsets.device
    lengths = layout.lengths
    order = torch.argsort(lengths, descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    starts = layout.host_offsets[:-1][order]
    ends = layout.host_offsets[1:][order]
    bounds = [0, *torch.unique(lengths[lengths > 0]).tolist()]
    index, stretches = [], []
    for begin, end in pairwise(bounds):
        alive = int((lengths >= end).sum())
        steps = torch.arange(begin, end)[:, None]
        tokens = ends[:alive] - 1 - steps if reverse else starts[:alive] + steps
        index.append(tokens.flatten())
        stretches.append((end - begin, alive))
    flat = torch.cat(index) if index else torch.zeros(0, dtype=torch.int64)
    return ranks.to(device), order.to(device), flat.to(device), stretches
