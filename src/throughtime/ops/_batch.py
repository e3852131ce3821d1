"""The offsets of a batch on their way to native code."""

from functools import lru_cache

import torch
from torch import Tensor

from throughtime import _native
from throughtime.errors import ShapeError
from throughtime.ops.windows import Geometry


def checked_offsets(offsets: Tensor, total: int) -> Tensor:
    """Return contiguous offsets. A map over a batch's tensors may have made some that are not its tokens'."""
    offsets = offsets.contiguous()
    if offsets.dtype != torch.int64 or _native.check_offsets(offsets.data_ptr(), offsets.shape[0], total)[0]:
        raise ShapeError(
            f"the offsets of this Ragged do not describe its {total} tokens: these start at 0, never fall, "
            "end at the number of tokens and are int64: make the batch with Ragged(values, offsets)"
        )
    return offsets


def native_batch(
    geometry: Geometry, total: int, out_total: int
) -> tuple[tuple[int, ...], tuple[Tensor, Tensor]]:
    """Return B and both addresses, and the tensors that must live as long as these are used."""
    offsets = checked_offsets(geometry.offsets, total)
    out_offsets = checked_offsets(geometry.out_offsets, out_total)
    fields = (offsets.shape[0] - 1, offsets.data_ptr(), out_offsets.data_ptr())
    return fields, (offsets, out_offsets)


@lru_cache(maxsize=64)
def one_segment(tokens: int) -> Tensor:
    """Return the offsets of all tokens as one segment; nobody writes to them."""
    return torch.tensor([0, tokens], device="cpu")
