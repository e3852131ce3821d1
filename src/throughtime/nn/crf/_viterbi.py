"""The Viterbi algorithm, padding-free."""

import torch
from torch import Tensor

from throughtime.nn.crf._recursion import Scores
from throughtime.nn.inputs.step_order import StepOrder, step_order
from throughtime.ops.crf import is_native, native_best
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ragged import Layout


def best_tags(emissions: Tensor, layout: Layout, scores: Scores) -> Tensor:
    """Return (T,) int64, the tags with the highest score of each sequence; ``emissions`` is (T, C)."""
    if is_native(emissions, *scores):
        return native_best(emissions, layout, *scores)
    return plain_best(emissions, layout, scores)


def plain_best(emissions: Tensor, layout: Layout, scores: Scores) -> Tensor:
    """Return the same in plain PyTorch."""
    order = step_order(ragged_steps(layout))
    if not order.alive:
        return layout.positions
    best, previous = _forward(order.gathered(emissions), scores)
    last = (torch.cat(best) + scores.end).argmax(-1).split(order.alive)
    return order.returned(_traced(last, previous, order))


def _forward(emissions: tuple[Tensor, ...], scores: Scores) -> tuple[list[Tensor], list[Tensor]]:
    """Return, for each step, the highest score up to each tag and the tag before it on that path."""
    into = scores.transitions.t().contiguous()
    best, previous = [emissions[0] + scores.start], [torch.zeros_like(emissions[0], dtype=torch.int64)]
    for emission in emissions[1:]:
        before = best[-1][: len(emission)]
        # Without the subtraction the magnitude, and so the rounding error, would grow with the steps.
        before = before - before.amax(-1, keepdim=True)
        highest, tags = (before.unsqueeze(-2) + into).max(-1)
        best.append(emission + highest)
        previous.append(tags)
    return best, previous


def _traced(last: tuple[Tensor, ...], previous: list[Tensor], order: StepOrder) -> list[Tensor]:
    """Follow the best paths back from the last tags; in step t the last rows are of sequences that end."""
    tags = [last[-1]]
    for step in range(len(previous) - 1, 0, -1):
        continued = previous[step].gather(1, tags[-1].unsqueeze(-1)).squeeze(-1)
        tags.append(torch.cat([continued, last[step - 1][order.alive[step] :]]))
    return tags[::-1]
