"""States of recurrent layers: checked on the way in, in the shape of the input on the way out."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.inputs.tokens import Input, check_dtype_and_device, is_unbatched


class Sizes(NamedTuple):
    """Of a state: layers times directions, and the sizes of h and c (0 where there is no c)."""

    layers: int
    h: int
    c: int


def batched_state(
    state: Any,
    x: Input,
    batch: int,
    sizes: Sizes,
    weight: Tensor,
    layer: str,
    *,
    as_given: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    """Return h_0 (count, B, h) and c_0 (count, B, c), None for zeros.

    They are in the order of the tokens, or ``as_given``: in the order in which the caller knows them.
    """
    if state is None:
        return None, None
    parts = checked_parts(state, pair=bool(sizes.c), layer=layer)
    states = []
    for part, size, name in zip(parts, (sizes.h, sizes.c), ("h_0", "c_0"), strict=False):
        expected = (sizes.layers, size) if is_unbatched(x) else (sizes.layers, batch, size)
        if isinstance(x, PackedSequence) and is_compiling() and part.dim() == 3:
            torch._check(part.shape[1] == batch)  # noqa: SLF001 - the batch size is a value of the graph
        if part.shape != expected:
            meaning = "(layers x directions, size)" if is_unbatched(x) else _BATCHED
            raise ShapeError(
                f"{layer}: {name} has shape {tuple(part.shape)}, expected {tuple(expected)} {meaning}"
            )
        check_dtype_and_device(part, weight, name, layer)
        if is_unbatched(x):
            part = part.unsqueeze(1)  # noqa: PLW2901
        if isinstance(x, PackedSequence) and x.sorted_indices is not None and not as_given:
            part = part.index_select(1, x.sorted_indices)  # noqa: PLW2901
        states.append(part)
    return states[0], states[1] if sizes.c else None


_BATCHED = "(layers x directions, sequences, size)"


def checked_parts(state: Any, *, pair: bool, layer: str) -> tuple[Tensor, ...]:
    """Return (h,) or (h, c), whichever the layer takes."""
    parts = state if pair else (state,)
    if (
        not isinstance(parts, tuple | list)
        or len(parts) != (2 if pair else 1)
        or not all(isinstance(part, Tensor) for part in parts)
    ):
        expected = "a pair of tensors (h_0, c_0)" if pair else "one tensor h_0"
        raise InputTypeError(f"{layer} takes {expected} as its state, got {_kind(state)}")
    return tuple(parts)


def like_state(part: Tensor, x: Input, *, as_given: bool = False) -> Tensor:
    """Give a final state (count, B, size) the shape and order that the caller of `x` expects."""
    if is_unbatched(x):
        return part.squeeze(1)
    if isinstance(x, PackedSequence) and x.unsorted_indices is not None and not as_given:
        return part.index_select(1, x.unsorted_indices)
    return part


def _kind(state: object) -> str:
    if isinstance(state, Tensor):
        return f"a tensor of shape {tuple(state.shape)}"
    if isinstance(state, tuple | list):
        return f"a {type(state).__name__} of {len(state)}"
    return type(state).__name__
