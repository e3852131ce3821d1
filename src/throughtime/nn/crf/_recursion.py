"""The forward algorithm of a linear-chain CRF in log space, padding-free, in plain differentiable PyTorch."""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.nn.inputs.step_order import StepOrder, step_order
from throughtime.ops.pool.layer import sum_over_time
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ragged import Layout, Ragged

FORBIDDEN = -1e30
"""Score of a forbidden transition: exp gives 0, and sums stay finite in float32, so no gradient is NaN."""


class Scores(NamedTuple):
    """Scores of a linear chain.

    Parameters
    ----------
    transitions : Tensor
        (C, C), from the tag of the row to the tag of the column.
    start, end : Tensor
        (C,), of the first and the last tag.
    """

    transitions: Tensor
    start: Tensor
    end: Tensor


def first_and_last(layout: Layout) -> tuple[Tensor, Tensor]:
    """Return two (T,) bool: whether a token is the first, and the last, of its sequence."""
    first = layout.positions == 0
    return first, first.index_select(0, layout.reversal)


def forward_scores(emissions: Tensor, order: StepOrder, transitions: Tensor, start: Tensor) -> Tensor:
    r"""Run the forward algorithm, whose state is normalised at every step.

    r_0 = x_0 + start,  r_t = x_t + log Σ_i exp(a_{t−1,i} + transitions_i),  a_t = r_t − log Σ_j exp r_{t,j}

    Without the normalisation the magnitude of the state, and so its rounding error, would grow with t.

    Parameters
    ----------
    emissions : Tensor
        (T, D, C) x, for D chains over each sequence.
    order : StepOrder
        Of the sequences.
    transitions, start : Tensor
        (D, C, C) and (D, C).

    Returns
    -------
    Tensor
        (T, D, C) r.
    """
    parts = order.gathered(emissions)
    # Steps of no sequences, so that every parameter has a gradient.
    parts += (emissions[:0],) * max(0, 2 - len(parts))
    into = transitions.transpose(-1, -2).contiguous()
    results = [parts[0] + start]
    for emission in parts[1:]:
        state = results[-1][: len(emission)].log_softmax(-1)
        results.append(emission + torch.logsumexp(state.unsqueeze(-2) + into, -1))
    return order.returned(results)


def log_partition(emissions: Tensor, layout: Layout, scores: Scores) -> Tensor:
    """Return (B,) log Z, differentiable as often as wanted; ``emissions`` is (T, C)."""
    order = step_order(ragged_steps(layout))
    results = forward_scores(emissions.unsqueeze(1), order, scores.transitions[None], scores.start[None])
    return summed(results[:, 0], layout, scores.end)


def summed(results: Tensor, layout: Layout, end: Tensor) -> Tensor:
    """Return (B,) log Z from what `forward_scores` returns for one chain, (T, C)."""
    _, last = first_and_last(layout)
    ended = torch.where(last, torch.logsumexp(results.log_softmax(-1) + end, -1), 0)
    return sum_over_time(torch.logsumexp(results, -1) + ended, layout)


def both_directions(emissions: Tensor, layout: Layout, scores: Scores) -> tuple[Tensor, Tensor]:
    """Return what the forward algorithm gives in time and in reversed time, both (T, C) in time."""
    x = Ragged(emissions, layout.offsets, layout=layout)
    order = step_order(ragged_steps(layout))
    results = forward_scores(
        torch.stack([emissions, x.reverse().values], 1),
        order,
        torch.stack([scores.transitions, scores.transitions.t()]),
        torch.stack([scores.start, scores.end]),
    )
    forwards, backwards = results.unbind(1)
    return forwards, backwards.index_select(0, layout.reversal)


def marginals(emissions: Tensor, forwards: Tensor, backwards: Tensor) -> Tensor:
    """Return (T, C) p(y_t = j | x) from what `both_directions` returns."""
    # Both directions contain the emission of the token itself.
    return (forwards + backwards - emissions).softmax(-1)
