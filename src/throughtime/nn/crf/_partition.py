"""log Z with its gradient in closed form: marginal probabilities of tags and of pairs of tags.

The gradient needs the forward algorithm in reversed time, too, but no loop of its own. It is differentiated
in turn through the plain recursion.
"""

from typing import Any, cast

import torch
from torch import Tensor

from throughtime.nn.crf._pairs import sum_of_pairs
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
            pairs = sum_of_pairs(forwards, backwards, scores.transitions, weights.where(~first, 0))
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
    return values.where(chosen.unsqueeze(-1), 0).sum(0)
