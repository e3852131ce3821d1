"""log Z with its gradient in closed form: marginal probabilities of tags and of pairs of tags.

The gradient costs a pass of the forward algorithm in reversed time, which runs beside the one in time, and
no loop of its own. It is differentiated in turn through the plain recursion.
"""

from typing import Any, cast

import torch
from torch import Tensor

from throughtime.nn.crf._recursion import (
    Scores,
    both_directions,
    first_and_last,
    log_partition,
    marginals,
    summed,
)
from throughtime.ops.plain import differentiable, transformed
from throughtime.ragged import Layout

# Numbers per block of (tokens, C, C), to stay within the cache.
_BLOCK = 2**18


def fast_log_partition(emissions: Tensor, layout: Layout, scores: Scores) -> Tensor:
    """Return (B,) log Z of emissions (T, C)."""
    if transformed() or not differentiable(emissions, *scores):
        return log_partition(emissions, layout, scores)
    return cast("Tensor", _LogPartition.apply(emissions, layout, *scores))  # type: ignore[no-untyped-call]


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, layout: Layout, transitions: Tensor, start: Tensor, end: Tensor
    ) -> Tensor:
        scores = Scores(transitions, start, end)
        forwards, backwards = both_directions(emissions, layout, scores)
        ctx.layout = layout
        ctx.save_for_backward(emissions, *scores, forwards, backwards)
        return summed(forwards, layout, end)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        emissions, *rest, forwards, backwards = ctx.saved_tensors
        scores, layout = Scores(*rest), ctx.layout
        # With gradients enabled somebody will differentiate the result, too.
        if torch.is_grad_enabled():
            return _recorded(gradients[0], emissions, layout, scores, ctx.needs_input_grad)
        first, last = first_and_last(layout)
        weights = gradients[0].index_select(0, layout.sequence_ids)
        unary = marginals(emissions, forwards, backwards) * weights.unsqueeze(-1)
        pairs = None
        if ctx.needs_input_grad[2]:
            later = torch.where(first, 0, weights)
            pairs = _sum_of_pairs(forwards, backwards, scores.transitions, later)
        return unary, None, pairs, _sum_where(first, unary), _sum_where(last, unary)


def _recorded(
    gradient: Tensor, emissions: Tensor, layout: Layout, scores: Scores, needs: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients through the plain recursion, differentiable."""
    arguments = [emissions, None, *scores]
    wanted = [part for part, needed in zip(arguments, needs, strict=True) if needed and part is not None]
    results = iter(
        torch.autograd.grad(log_partition(emissions, layout, scores), wanted, gradient, create_graph=True)
    )
    return tuple(next(results) if needed else None for needed in needs)


def _sum_where(chosen: Tensor, values: Tensor) -> Tensor:
    return torch.where(chosen.unsqueeze(-1), values, 0).sum(0)


def _sum_of_pairs(forwards: Tensor, backwards: Tensor, transitions: Tensor, weights: Tensor) -> Tensor:
    """Return (C, C) Σ_t weight_t p(y_{t−1} = i, y_t = j | x); the weight of first tokens is 0."""
    total = torch.zeros_like(transitions)
    rows = max(1, _BLOCK // transitions.numel())
    blocks = (part.split(rows) for part in (forwards[:-1], backwards[1:], weights[1:]))
    for before, after, weight in zip(*blocks, strict=True):
        joint = before.unsqueeze(-1) + transitions + after.unsqueeze(-2)
        total += (weight @ joint.flatten(1).softmax(-1)).view_as(total)
    return total
