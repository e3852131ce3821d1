"""The tokens of an input of a recurrence, and results in the kind of the input."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from throughtime.nn.inputs.tokens import Input, from_ragged, like_input, ragged_of, tokens_of
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import Ragged


def placed(x: Input, *, batch_first: bool, end_to_end: bool) -> tuple[Tensor, Steps, Callable[[Tensor], Any]]:
    """Return tokens, where each step is, and how results get the kind of the input.

    ``end_to_end``: sequences have to lie one after the other.
    """
    turned = end_to_end and isinstance(x, Tensor) and x.dim() > 2 and not batch_first
    if turned:
        x = x.transpose(0, 1)  # type: ignore[union-attr]
    if isinstance(x, PackedSequence):
        tokens, steps = tokens_of(ragged_of(x, batch_first=False), batch_first=False)
        return tokens, steps, lambda part: from_ragged(part, x, batch_first=False)
    tokens, steps = tokens_of(x, batch_first=batch_first or turned)
    return tokens, steps, lambda part: _like(part, x).transpose(0, 1) if turned else _like(part, x)


def _like(part: Tensor, x: Input) -> Any:
    if isinstance(x, Ragged):
        return x.with_values(part)
    if isinstance(x, Tensor):
        return part.view(*x.shape[: 1 if x.dim() == 2 else 2], *part.shape[1:])
    return like_input(part, x)
