"""Reference implementation of a recurrent layer: a Python loop over time, on any device and dtype.

Not fast. Every tensor stays in the graph, so results can be differentiated any number of times, with
respect to everything.
"""

import torch
from torch import Tensor

from throughtime.ops.recurrent.bounds import bounded_gradient
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows
from throughtime.ops.recurrent.weights import Weights


def recurrent_layer_reference(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
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
    spec
        Which cell; equations and gate order are torch's.
    h0, c0 : Tensor, optional
        (D, B, P) and, of a cell with c, (D, B, H); None is zeros.
    directions : tuple of Weights
        D = 1 or 2; the second reads each sequence from its end.

    Returns
    -------
    y : Tensor
        (T, D·P): h of every step, in the order of ``x``.
    h_n, c_n : Tensor
        (D, B, P) and (D, B, H): the state after each sequence's own last step.
    c : Tensor
        (D, T, H): the cell state of every step. ``c`` and ``c_n`` are empty, (0,), of a cell without c.
    gates : Tensor
        (D, T, S, H): `CellSpec.gate_names` and `CellSpec.linear_names` of every step.
    """
    results = [
        _direction(
            x,
            steps,
            spec,
            _initial(x, steps.batch, spec, weights, *(s if s is None else s[d] for s in (h0, c0))),
            weights,
            reverse=d == 1,
        )
        for d, weights in enumerate(directions)
    ]
    h, final, c, gates = zip(*results, strict=True)
    h_n = torch.stack([state.h for state in final])
    if not spec.has_c:
        return torch.cat(h, 1), h_n, x.new_zeros(0), x.new_zeros(0), torch.stack(gates)
    return (
        torch.cat(h, 1),
        h_n,
        torch.stack([state.c for state in final]),
        torch.stack(c),
        torch.stack(gates),
    )


def _initial(
    x: Tensor, batch: int, spec: CellSpec, weights: Weights, h: Tensor | None, c: Tensor | None
) -> State:
    hidden = weights.hh.shape[0] // spec.gates if spec.has_c else 0
    return State(
        x.new_zeros(batch, weights.hh.shape[1]) if h is None else h,
        x.new_zeros(batch, hidden) if c is None else c,
    )


def _direction(
    x: Tensor, steps: Steps, spec: CellSpec, initial: State, weights: Weights, *, reverse: bool
) -> tuple[Tensor, State, Tensor, Tensor]:
    """Return h, the final state, c and gates of one direction."""
    lengths = host_lengths(steps)
    resets = None if steps.reset is None else steps.reset.bool()
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
        if resets is not None and not (reverse and t == 0):
            flagged = rows(steps, order[:alive], step + 1) if reverse else row
            before = _zeros_where(resets.index_select(0, flagged.to(x.device)), before)
        if spec.bounds_gradients:
            before = State(
                *(bounded_gradient(part, spec.gradient_value, spec.gradient_norm) for part in before)
            )
        state, gates = spec.step(tokens, before, weights, None if context is None else context[:alive])
        outputs.append((*state, gates))
    ended.append(state)
    places = torch.argsort(torch.cat(taken)).to(x.device)
    h, c, gates = (torch.cat(parts).index_select(0, places) for parts in zip(*outputs, strict=True))
    ranks = torch.argsort(order).to(x.device)
    final = (torch.cat(parts).index_select(0, ranks) for parts in zip(*reversed(ended), strict=True))
    return h, State(*final), c, gates


def _zeros_where(flags: Tensor, state: State) -> State:
    return State(*(torch.where(flags[:, None], torch.zeros_like(part), part) for part in state))
