"""A recurrent layer as its equations say it: a Python loop over time, on any device and dtype.

Not fast. Every tensor stays in the graph, so results can be differentiated any number of times, with
respect to everything.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.ops.steps import GATES, Cell, Steps, Weights, host_lengths, rows


class State(NamedTuple):
    """What goes from step to step: h (n, P), and c (n, H), which is (n, 0) but for LSTM."""

    h: Tensor
    c: Tensor


def recurrent_layer_reference(
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Run one layer in one or both directions over every sequence.

    Parameters
    ----------
    x : Tensor
        (T, I) tokens.
    steps
        Where each step of each of the B sequences lies in ``x``.
    cell
        Which recurrence; equations and gate order are torch's.
    h0, c0 : Tensor, optional
        (D, B, P) and, for LSTM, (D, B, H); None is zeros.
    directions : tuple of Weights
        D = 1 or 2; the second reads each sequence from its end.

    Returns
    -------
    y : Tensor
        (T, D·P): h of every step, in the order of ``x``.
    h_n, c_n : Tensor
        (D, B, P) and (D, B, H): the state after each sequence's own last step.
    c : Tensor
        (D, T, H): the cell state of every step. ``c`` and ``c_n`` are empty, (0,), but for LSTM.
    gates : Tensor
        (D, T, S, H): i, f, g, o of LSTM; r, z, n and W_hn h + b_hn of GRU; S = 0 for RNN.
    """
    results = [
        _direction(
            x,
            steps,
            cell,
            _initial(x, steps.batch, cell, weights, *(s if s is None else s[d] for s in (h0, c0))),
            weights,
            reverse=d == 1,
        )
        for d, weights in enumerate(directions)
    ]
    h, final, c, gates = zip(*results, strict=True)
    h_n = torch.stack([state.h for state in final])
    if cell != "LSTM":
        return torch.cat(h, 1), h_n, x.new_zeros(0), x.new_zeros(0), torch.stack(gates)
    return (
        torch.cat(h, 1),
        h_n,
        torch.stack([state.c for state in final]),
        torch.stack(c),
        torch.stack(gates),
    )


def _initial(
    x: Tensor, batch: int, cell: Cell, weights: Weights, h: Tensor | None, c: Tensor | None
) -> State:
    hidden = weights.hh.shape[0] // GATES[cell] if cell == "LSTM" else 0
    return State(
        x.new_zeros(batch, weights.hh.shape[1]) if h is None else h,
        x.new_zeros(batch, hidden) if c is None else c,
    )


def _direction(
    x: Tensor, steps: Steps, cell: Cell, initial: State, weights: Weights, *, reverse: bool
) -> tuple[Tensor, State, Tensor, Tensor]:
    """Return h, the final state, c and gates of one direction."""
    lengths = host_lengths(steps)
    order = torch.argsort(lengths, descending=True, stable=True)
    sorted_lengths = lengths[order]
    on_device = order.to(x.device)
    state = State(*(part.index_select(0, on_device) for part in initial))
    ended, taken, outputs = [], [], []
    # A batch without tokens takes one step of no sequences, so that gradients are zero, not missing.
    for t in range(max([1, *lengths.tolist()])):
        alive = int((sorted_lengths > t).sum())
        step = sorted_lengths[:alive] - 1 - t if reverse else torch.full((alive,), t)
        row = rows(steps, order[:alive], step)
        taken.append(row)
        ended.append(State(*(part[alive:] for part in state)))
        tokens = x.index_select(0, row.to(x.device))
        state, gates = _STEPS[cell](tokens, State(*(part[:alive] for part in state)), weights)
        outputs.append((*state, gates))
    ended.append(state)
    places = torch.argsort(torch.cat(taken)).to(x.device)
    h, c, gates = (torch.cat(parts).index_select(0, places) for parts in zip(*outputs, strict=True))
    ranks = torch.argsort(order).to(x.device)
    final = (torch.cat(parts).index_select(0, ranks) for parts in zip(*reversed(ended), strict=True))
    return h, State(*final), c, gates


def _lstm_step(x: Tensor, state: State, weights: Weights) -> tuple[State, Tensor]:
    total = linear(x, weights.ih, weights.bias_ih) + linear(state.h, weights.hh, weights.bias_hh)
    i, f, g, o = total.chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    c = f * state.c + i * g
    h = o * c.tanh()
    return State(h if weights.hr is None else linear(h, weights.hr), c), torch.stack([i, f, g, o], 1)


def _gru_step(x: Tensor, state: State, weights: Weights) -> tuple[State, Tensor]:
    x_r, x_z, x_n = linear(x, weights.ih, weights.bias_ih).chunk(3, 1)
    h_r, h_z, h_n = linear(state.h, weights.hh, weights.bias_hh).chunk(3, 1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    n = (x_n + r * h_n).tanh()
    return State((1 - z) * n + z * state.h, state.c), torch.stack([r, z, n, h_n], 1)


def _rnn_step(
    activation: Callable[[Tensor], Tensor],
) -> Callable[[Tensor, State, Weights], tuple[State, Tensor]]:
    def step(x: Tensor, state: State, weights: Weights) -> tuple[State, Tensor]:
        total = linear(x, weights.ih, weights.bias_ih) + linear(state.h, weights.hh, weights.bias_hh)
        h = activation(total)
        return State(h, state.c), h.new_zeros(h.shape[0], 0, h.shape[1])

    return step


_STEPS: dict[str, Callable[[Tensor, State, Weights], tuple[State, Tensor]]] = {
    "LSTM": _lstm_step,
    "GRU": _gru_step,
    "RNN_TANH": _rnn_step(torch.tanh),
    "RNN_RELU": _rnn_step(torch.relu),
}
