"""The context of a recurrent layer: one vector for each sequence, the same at every step."""

from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import KindError, ShapeError
from throughtime.nn.inputs.tokens import Input, check_dtype_and_device, is_unbatched


def checked_context(
    context: Any, x: Input, batch: int, size: int, weight: Tensor, layer: str, *, as_given: bool = False
) -> Tensor | None:
    """Return the context (B, C) in the order of the tokens, or ``as_given``: in that of the caller."""
    if context is None:
        if not size:
            return None
        raise ShapeError(
            f"{layer} has context_size={size} and got no context: give one vector for each sequence, "
            f"layer(x, state, context=s) with s of shape {_expected(x, batch, size)}"
        )
    if not size:
        raise ShapeError(
            f"{layer} got a context, but was made without one: {layer}(..., context_size={_size(context)})"
        )
    if not isinstance(context, Tensor):
        raise KindError(f"{layer}: the context is a Tensor, got {type(context).__name__}")
    if context.shape != _expected(x, batch, size):
        meaning = "(context_size,)" if is_unbatched(x) else "(sequences, context_size)"
        raise ShapeError(
            f"{layer}: the context has shape {tuple(context.shape)}, expected "
            f"{_expected(x, batch, size)} {meaning}"
        )
    check_dtype_and_device(context, weight, "the context", layer)
    if is_unbatched(x):
        return context.unsqueeze(0)
    if isinstance(x, PackedSequence) and x.sorted_indices is not None and not as_given:
        return context.index_select(0, x.sorted_indices)
    return context


def _expected(x: Input, batch: int, size: int) -> tuple[int, ...]:
    return (size,) if is_unbatched(x) else (batch, size)


def _size(context: Any) -> str:
    return str(context.shape[-1]) if isinstance(context, Tensor) and context.dim() else "C"
