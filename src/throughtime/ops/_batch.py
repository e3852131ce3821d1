"""Batches on their way to native code: tensors, offsets, and windows in time."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from throughtime import _native
from throughtime.errors import ShapeError
from throughtime.ops._memory import contiguous
from throughtime.ops.windows import Windows

Tensors = tuple[Tensor | None, ...]


def called(function: Callable[..., Any], tensors: Tensors, **options: Any) -> Any:
    """Call native code on tensors as they are if it can read them so, else brought into order."""
    threads = torch.get_num_threads()
    result = function(*tensors, threads=threads, in_order=False, **options)
    if result is None:
        ordered = map(contiguous, tensors)
        result = function(*ordered, threads=threads, in_order=True, **options)
    return result


@lru_cache(maxsize=256)
def native_windows(windows: Windows) -> _native.Windows:
    """Return windows as native code reads them."""
    size, stride, dilation, left, right, replicate = windows
    return _native.Windows(
        size=size, stride=stride, dilation=dilation, left=left, right=right, replicate=bool(replicate)
    )


def checked_offsets(offsets: Tensor, total: int) -> Tensor:
    """Return contiguous offsets. A map over a batch's tensors may have made some that are not its tokens'."""
    offsets = offsets.contiguous()
    if offsets.dtype != torch.int64 or _native.check_offsets(offsets.data_ptr(), offsets.shape[0], total)[0]:
        raise ShapeError(
            f"the offsets of this Ragged do not match its {total} tokens: they must be int64, start at 0, "
            "not decrease, and end at the number of tokens; create the batch with Ragged(values, offsets)"
        )
    return offsets


@lru_cache(maxsize=64)
def one_segment(tokens: int) -> Tensor:
    """Return the offsets of all tokens as one segment; nobody writes to them."""
    return torch.tensor([0, tokens], device="cpu")
