"""Parsing of one entry of an index: an integer, several integers or a mask, in any form that torch takes."""

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
    """Return an entry as an int, or None if it is not an integer."""
    if isinstance(entry, Tensor):
        return int(entry) if entry.dim() == 0 and _is_whole(entry) and entry.dtype != torch.bool else None
    if isinstance(entry, bool | list | tuple):
        return None
    try:
        return operator.index(entry)
    except TypeError:
        return None


def as_rows(entry: Any, count: int) -> Tensor:
    """Return indices or a mask as indices from 0 to ``count`` − 1, on the CPU."""
    rows = _one_dimensional(entry)
    if rows is None:
        raise InputTypeError(
            "select sequences with an int, a slice, a list or 1-D tensor of ints, or a bool mask, got "
            f"{_kind(entry)}; to select tokens, use a Ragged of bool"
        )
    if rows.dtype == torch.bool:
        if rows.shape[0] != count:
            raise ShapeError(
                f"the mask has {rows.shape[0]} entries for {count} sequences; give one bool per sequence"
            )
        return rows.nonzero().flatten()
    rows = rows.long()
    invalid = (rows < -count) | (rows >= count)
    if is_compiling():
        assert_when_run(~invalid, f"an index is out of range for a batch of {count} sequences")
    elif invalid.any():
        raise IndexError(f"sequence {int(rows[invalid][0])} is out of range for a batch of {count} sequences")
    return rows.remainder(count) if count else rows


def as_steps(entry: Any) -> Tensor:
    """Return step indices on the CPU; negative ones count from the end of a sequence."""
    steps = _one_dimensional(entry)
    if steps is None or steps.dtype == torch.bool:
        raise InputTypeError(
            "select steps with an int, a slice, or a list or 1-D tensor of ints, got "
            f"{_kind(entry)}; to select steps by a mask, use x[mask] with a Ragged of bool"
        )
    return steps.long()


def dimensions(entry: Any) -> int:
    """Return the number of dimensions of the batch that an entry indexes."""
    if entry is None or entry is Ellipsis:
        return 0
    if isinstance(entry, Tensor | np.ndarray) and entry.dtype in {torch.bool, np.dtype(bool)}:
        return entry.ndim
    return 1


def is_list(entry: Any) -> bool:
    """Return whether an entry is not an int, a slice or None, but a list of indices, a mask, or invalid."""
    return entry is not None and not isinstance(entry, slice) and as_int(entry) is None


def is_truth_value(entry: Any) -> bool:
    """Return whether an entry is a single bool, which would add a dimension to a tensor."""
    if isinstance(entry, Tensor):
        return entry.dim() == 0 and entry.dtype == torch.bool
    return isinstance(entry, bool | np.bool_)


def _one_dimensional(entry: Any) -> Tensor | None:
    """Return an entry as a one-dimensional CPU tensor of integers or bools, or None if it is not one."""
    if isinstance(entry, Sequence) and not isinstance(entry, str) and not len(entry):
        return torch.zeros(0, dtype=torch.int64)
    try:
        supported = isinstance(entry, Tensor | Sequence)
        row = torch.as_tensor(entry if supported else np.asarray(entry)).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        return None
    return row if row.dim() == 1 and _is_whole(row) else None


def _is_whole(tensor: Tensor) -> bool:
    """Return whether the dtype is an integer type or bool, except uint8, which torch interprets as a mask."""
    floating = tensor.is_floating_point() or tensor.is_complex()
    return not floating and tensor.dtype != torch.uint8


def _kind(entry: Any) -> str:
    if isinstance(entry, Tensor | np.ndarray):
        uint8 = entry.dtype in {torch.uint8, np.dtype(np.uint8)}
        advice = " (a mask needs .bool(), indices need .long())" if uint8 else ""
        return f"{type(entry).__name__} of {entry.dtype} and shape {tuple(entry.shape)}{advice}"
    return type(entry).__name__
