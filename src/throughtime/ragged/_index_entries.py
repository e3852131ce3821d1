"""One entry of an index: a number, several numbers or a mask, in whatever form a tensor takes them."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.compiler import is_compiling

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged._transforms import assert_when_run


def as_int(entry: Any) -> int | None:
    """Return the number that an entry is, or None if it is none."""
    if isinstance(entry, Tensor):
        return int(entry) if entry.dim() == 0 and _is_whole(entry) and entry.dtype != torch.bool else None
    if isinstance(entry, bool | list | tuple):
        return None
    try:
        return operator.index(entry)
    except TypeError:
        return None


def as_rows(entry: Any, count: int) -> Tensor:
    """Return indices or a mask of ``count`` sequences as sequence numbers from 0, in host memory."""
    rows = _one_dimensional(entry)
    if rows is None:
        raise InputTypeError(
            "select sequences with an int, a slice, a list or 1-D tensor of ints, or a bool mask, got "
            f"{_kind(entry)}; tokens are selected by a Ragged of bool"
        )
    if rows.dtype == torch.bool:
        if rows.shape[0] != count:
            raise ShapeError(f"the mask has {rows.shape[0]} entries for {count} sequences")
        return rows.nonzero().flatten()
    rows = rows.long()
    wrong = (rows < -count) | (rows >= count)
    if is_compiling():
        assert_when_run(~wrong, f"an index is out of range for a batch of {count}")
    elif wrong.any():
        raise IndexError(f"sequence {int(rows[wrong][0])} of a batch of {count}")
    return rows.remainder(count) if count else rows


def as_steps(entry: Any) -> Tensor:
    """Return step numbers as they are, in host memory; negative ones count from a sequence's end."""
    steps = _one_dimensional(entry)
    if steps is None or steps.dtype == torch.bool:
        raise InputTypeError(
            "select steps with an int, a slice, or a list or 1-D tensor of ints, got "
            f"{_kind(entry)}; for a mask of steps use x[mask] with a Ragged of bool"
        )
    return steps.long()


def dimensions(entry: Any) -> int:
    """Return how many dimensions of the batch an entry uses up."""
    if entry is None or entry is Ellipsis:
        return 0
    if isinstance(entry, Tensor | np.ndarray) and entry.dtype in {torch.bool, np.dtype(bool)}:
        return entry.ndim
    return 1


def is_list(entry: Any) -> bool:
    """Tell whether an entry is several indices, a mask, or nothing that an index can be."""
    return entry is not None and not isinstance(entry, slice) and as_int(entry) is None


def is_truth_value(entry: Any) -> bool:
    """Tell whether an entry is a single truth value, by which a tensor would get a dimension more."""
    if isinstance(entry, Tensor):
        return entry.dim() == 0 and entry.dtype == torch.bool
    return isinstance(entry, bool | np.bool_)


def _one_dimensional(entry: Any) -> Tensor | None:
    """Return a row of whole numbers or truth values in host memory, or None if it is no such row."""
    if isinstance(entry, Sequence) and not isinstance(entry, str) and not len(entry):
        return torch.zeros(0, dtype=torch.int64)
    try:
        known = isinstance(entry, Tensor | Sequence)
        row = torch.as_tensor(entry if known else np.asarray(entry)).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None
    return row if row.dim() == 1 and _is_whole(row) else None


def _is_whole(tensor: Tensor) -> bool:
    """Tell whether these are integers or truth values; uint8 is neither, as torch takes it for a mask."""
    floating = tensor.is_floating_point() or tensor.is_complex()
    return not floating and tensor.dtype != torch.uint8


def _kind(entry: Any) -> str:
    if isinstance(entry, Tensor | np.ndarray):
        uint8 = entry.dtype in {torch.uint8, np.dtype(np.uint8)}
        advice = " (a mask needs .bool(), indices need .long())" if uint8 else ""
        return f"{type(entry).__name__} of {entry.dtype} and shape {tuple(entry.shape)}{advice}"
    return type(entry).__name__
