"""The forward algorithm of a linear-chain CRF in log space, padding-free, in plain differentiable PyTorch."""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.nn.inputs.step_order import step_order
from throughtime.ops.crf import is_native, native_forward
from throughtime.ops.pool.layer import sum_over_time
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ragged import Layout

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


def plain_forward(emissions: Tensor, layout: Layout, transitions: Tensor, start: Tensor) -> Tensor:
    r"""Run the forward algorithm, whose state is relative to its maximum at every step.

    r_0 = x_0 + start,  r_t = x_t + log Σ_i exp(a_i + transitions_i),  a = r_{t−1} − max r_{t−1}

    Otherwise the magnitude of the state, and so its rounding error, would grow with t.

    Parameters
    ----------
    emissions : Tensor
        (T, D, C) x, for D chains over each sequence.
    layout : Layout
        Of the sequences.
    transitions, start : Tensor
        (D, C, C) and (D, C).

    Returns
    -------
    Tensor
        (T, D, C) r.
    """
    order = step_order(ragged_steps(layout))
    parts = order.gathered(emissions)
    # Steps of no sequences, so that every parameter has a gradient.
    parts += (emissions[:0],) * max(0, 2 - len(parts))
    into = transitions.transpose(-1, -2).contiguous()
    results = [parts[0] + start]
    for emission in parts[1:]:
        before = results[-1][: len(emission)]
        state = before - _largest(before).unsqueeze(-1)
        results.append(emission + torch.logsumexp(state.unsqueeze(-2) + into, -1))
    return order.returned(results)


def log_partition(emissions: Tensor, layout: Layout, scores: Scores) -> Tensor:
    """Return (B,) log Z, differentiable as often as wanted; ``emissions`` is (T, C)."""
    if is_native(emissions, *scores):
        results = native_forward(emissions, layout, scores.transitions, scores.start, reverse=False)
        return summed(results, layout, scores.end)
    results = plain_forward(emissions.unsqueeze(1), layout, scores.transitions[None], scores.start[None])
    return summed(results[:, 0], layout, scores.end)


def summed(results: Tensor, layout: Layout, end: Tensor) -> Tensor:
    """Return (B,) log Z from the result (T, C) of the forward algorithm, which subtracted each maximum."""
    _, last = first_and_last(layout)
    steps = torch.where(last, torch.logsumexp(results + end, -1), _largest(results))
    return sum_over_time(steps, layout)


def both_directions(emissions: Tensor, layout: Layout, scores: Scores) -> tuple[Tensor, Tensor]:
    """Return what the forward algorithm gives in time and in reversed time, both (T, C) in time."""
    backwards = scores.transitions.t()
    if is_native(emissions, *scores):
        return (
            native_forward(emissions, layout, scores.transitions, scores.start, reverse=False),
            native_forward(emissions, layout, backwards, scores.end, reverse=True),
        )
    results = plain_forward(
        torch.stack([emissions, emissions.index_select(0, layout.reversal)], 1),
        layout,
        torch.stack([scores.transitions, backwards]),
        torch.stack([scores.start, scores.end]),
    )
    return results[:, 0], results[:, 1].index_select(0, layout.reversal)


def marginals(emissions: Tensor, forwards: Tensor, backwards: Tensor) -> Tensor:
    """Return (T, C) p(y_t = j | x) from what `both_directions` returns."""
    # Both directions contain the emission of the token itself.
    products = relative(forwards + backwards - emissions)
    return products / products.sum(-1, keepdim=True)  # several times as fast as softmax for few tags


def relative(scores: Tensor) -> Tensor:
    """Return exp(scores), each row divided by its largest value."""
    return (scores - _largest(scores).unsqueeze(-1)).exp()


def _largest(results: Tensor) -> Tensor:
    # A constant to autograd: no result depends on what is subtracted in one place and added in another.
    return results.detach().amax(-1)
