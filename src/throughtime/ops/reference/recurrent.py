"""A recurrent layer as its equations say it: a Python loop over time, on any device and dtype.

Not fast. Every tensor stays in the graph, so results can be differentiated any number of times, with
respect to everything.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.ops.cell import Cell, CellSpec, spec_of
from throughtime.ops.reference.activations import activated
from throughtime.ops.reference.bounds import bounded_gradient
from throughtime.ops.steps import Steps, Weights, host_lengths, rows


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
        Which recurrence, see `CellSpec`; equations and gate order are torch's.
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
        (D, T, S, H): i, f, g, o of LSTM; r, z, n of GRU, and W_hn h + b_hn unless the reset gate acts on h
        itself; S = 0 for RNN.
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
    if spec_of(cell).kind != "LSTM":
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
    spec = spec_of(cell)
    hidden = weights.hh.shape[0] // spec.gates if spec.kind == "LSTM" else 0
    return State(
        x.new_zeros(batch, weights.hh.shape[1]) if h is None else h,
        x.new_zeros(batch, hidden) if c is None else c,
    )


def _direction(
    x: Tensor, steps: Steps, cell: Cell, initial: State, weights: Weights, *, reverse: bool
) -> tuple[Tensor, State, Tensor, Tensor]:
    """Return h, the final state, c and gates of one direction."""
    spec, lengths = spec_of(cell), host_lengths(steps)
    order = torch.argsort(lengths, descending=True, stable=True)
    sorted_lengths = lengths[order]
    on_device = order.to(x.device)
    state = State(*(part.index_select(0, on_device) for part in initial))
    context = None if weights.context is None else weights.context.index_select(0, on_device)
    ended, taken, outputs = [], [], []
    # A batch without tokens takes one step of no sequences, so that gradients are zero, not missing.
    for t in range(max([1, *lengths.tolist()])):
        alive = int((sorted_lengths > t).sum())
        step = sorted_lengths[:alive] - 1 - t if reverse else torch.full((alive,), t)
        row = rows(steps, order[:alive], step)
        taken.append(row)
        ended.append(State(*(part[alive:] for part in state)))
        tokens = x.index_select(0, row.to(x.device))
        before = State(*(part[:alive] for part in state))
        if spec.bounds_gradients:
            before = State(
                *(bounded_gradient(part, spec.gradient_value, spec.gradient_norm) for part in before)
            )
        state, gates = STEPS[spec.kind](
            spec,
            tokens,
            before,
            weights,
            None if context is None else context[:alive],
        )
        outputs.append((*state, gates))
    ended.append(state)
    places = torch.argsort(torch.cat(taken)).to(x.device)
    h, c, gates = (torch.cat(parts).index_select(0, places) for parts in zip(*outputs, strict=True))
    ranks = torch.argsort(order).to(x.device)
    final = (torch.cat(parts).index_select(0, ranks) for parts in zip(*reversed(ended), strict=True))
    return h, State(*final), c, gates


def _projections(x: Tensor, h: Tensor, weights: Weights, context: Tensor | None) -> tuple[Tensor, Tensor]:
    from_x = linear(x, weights.ih, weights.bias_ih)
    return from_x if context is None else from_x + context, linear(h, weights.hh, weights.bias_hh)


def _lstm_step(
    spec: CellSpec, x: Tensor, state: State, weights: Weights, context: Tensor | None
) -> tuple[State, Tensor]:
    gate, candidate, output = spec.activations
    total = torch.add(*_projections(x, state.h, weights, context))
    parts = total.chunk(spec.gates, 1)
    pre_i, pre_g, pre_o = parts[0], parts[-2], parts[-1]
    peepholes = None if weights.peephole is None else weights.peephole.chunk(spec.peepholes)
    if peepholes is not None:
        pre_i = pre_i + peepholes[0] * state.c
    i = activated(gate, pre_i, spec.clip)
    if spec.coupled:
        f = 1 - i
    else:
        f = activated(gate, parts[1] if peepholes is None else parts[1] + peepholes[1] * state.c, spec.clip)
    g = activated(candidate, pre_g, spec.clip)
    c = f * state.c + i * g
    if spec.cell_clip < math.inf:
        c = c.clamp(-spec.cell_clip, spec.cell_clip)
    if peepholes is not None:
        pre_o = pre_o + peepholes[-1] * c
    o = activated(gate, pre_o, spec.clip)
    h = o * activated(output, c)
    return State(h if weights.hr is None else linear(h, weights.hr), c), torch.stack([i, f, g, o], 1)


def _gru_step(
    spec: CellSpec, x: Tensor, state: State, weights: Weights, context: Tensor | None
) -> tuple[State, Tensor]:
    gate, candidate = spec.activations
    from_x, from_h = _projections(x, state.h, weights, context)
    x_r, x_z, x_n = from_x.chunk(3, 1)
    h_r, h_z, h_n = from_h.chunk(3, 1)
    r, z = activated(gate, x_r + h_r, spec.clip), activated(gate, x_z + h_z, spec.clip)
    if spec.reset_after:
        n = activated(candidate, x_n + r * h_n, spec.clip)
        gates = torch.stack([r, z, n, h_n], 1)
    else:
        hidden = state.h.shape[1]
        bias = None if weights.bias_hh is None else weights.bias_hh[2 * hidden :]
        n = activated(candidate, x_n + linear(r * state.h, weights.hh[2 * hidden :], bias), spec.clip)
        gates = torch.stack([r, z, n], 1)
    h = (1 - z) * state.h + z * n if spec.update_new else (1 - z) * n + z * state.h
    return State(h, state.c), gates


def _rnn_step(
    spec: CellSpec, x: Tensor, state: State, weights: Weights, context: Tensor | None
) -> tuple[State, Tensor]:
    from_x, from_h = _projections(x, state.h, weights, context)
    h = activated(spec.activations[0], from_x + from_h, spec.clip)
    return State(h, state.c), h.new_zeros(h.shape[0], 0, h.shape[1])


STEPS: dict[str, Callable[[CellSpec, Tensor, State, Weights, Tensor | None], tuple[State, Tensor]]] = {
    "LSTM": _lstm_step,
    "GRU": _gru_step,
    "RNN": _rnn_step,
}
