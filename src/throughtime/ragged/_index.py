r"""Indexing of a ragged batch ``x[...]``, as of the padded batch (B, L, \*D) without its padding.

The first entry selects sequences, the second steps of each sequence, and the others features. The result is a
tensor with one row per sequence, or values and a layout for sequences of unequal length.
"""

import operator
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from throughtime.errors import InputTypeError, UnsupportedError
from throughtime.ragged._index_entries import (
    as_int,
    as_rows,
    as_steps,
    dimensions,
    is_list,
    is_truth_value,
)
from throughtime.ragged._layout import Layout
from throughtime.ragged._time import contiguous, take
from throughtime.ragged._transforms import assert_when_run

_ALL = slice(None)


def indexed(values: Tensor, layout: Layout, index: Any) -> Tensor | tuple[Tensor, Layout]:
    """Return a tensor if the index selects one sequence or one step, else values and their layout.

    Raises
    ------
    IndexError
        If a sequence or step is out of range, or there are more entries than dimensions.
    InputTypeError
        If an entry is not an index.
    ShapeError
        If the length of a mask differs from the number of sequences.
    UnsupportedError
        If the result cannot be a ragged batch; the message gives an alternative.
    """
    if isinstance(index, slice | list):
        return _select(values, layout, index)
    first, *others = _expanded(index if isinstance(index, tuple) else (index,), values.dim() + 1)
    sequence = as_int(first)
    if sequence is not None:
        start, end = bounds(layout, sequence)
        return values[start:end][tuple(others)] if others else values[start:end]
    _refuse_new_dimension(first)
    if not others:
        return _select(values, layout, first)
    steps, *features = others
    _refuse_new_dimension(steps)
    if features:
        values = _of_features(values, first, steps, features)
    if isinstance(steps, slice):
        return _cut(*_select(values, layout, first), steps)
    return _tokens(values, layout, first, steps)


def bounds(layout: Layout, sequence: int) -> tuple[int, int]:
    """Return the first token of a sequence and the token after its last."""
    count = len(layout)
    if not -count <= sequence < count:
        raise IndexError(f"sequence {sequence} is out of range for a batch of {count} sequences")
    host = layout.host_offsets
    return int(host[sequence % count]), int(host[sequence % count + 1])


def _expanded(entries: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    """Replace an ellipsis by slices, and return at least one entry."""
    ellipses = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    indexed_dims = sum(map(dimensions, entries))
    if len(ellipses) > 1 or indexed_dims > rank:
        raise IndexError(
            f"{indexed_dims} indices and {len(ellipses)} ellipses for a batch of {rank} dimensions "
            f"(sequences, steps, {rank - 2} for features); give at most one index per dimension and one "
            "ellipsis"
        )
    for i in ellipses:
        entries = (*entries[:i], *(_ALL,) * (rank - indexed_dims), *entries[i + 1 :])
    if any(map(is_truth_value, entries)):
        raise InputTypeError(
            "a Ragged cannot be indexed by a single bool; give a mask with one bool per sequence"
        )
    return entries or (_ALL,)


def _refuse_new_dimension(entry: Any) -> None:
    if entry is None:
        raise UnsupportedError(
            "None before sequences or steps would add a dimension that a Ragged cannot have; put it last, as "
            "in x[..., None], or index the padded batch, x.to_padded()[None]"
        )


def _of_features(values: Tensor, first: Any, steps: Any, features: list[Any]) -> Tensor:
    if any(map(is_list, features)) and sum(map(is_list, (first, steps, *features))) > 1:
        raise UnsupportedError(
            "several lists or tensors in one index select elements in pairs, and the result with features "
            "cannot be a Ragged; index one after the other, as in x[rows][:, :, features]"
        )
    return values[(_ALL, *features)]


def _select(values: Tensor, layout: Layout, entry: Any) -> tuple[Tensor, Layout]:
    """Select sequences by slice, indices (repeats allowed) or mask."""
    if isinstance(entry, slice):
        start, stop, step = entry.indices(len(layout))
        if step == 1:
            return contiguous(values, layout, start, max(start, stop))
    rows = _rows(entry, len(layout))
    return take(values, layout, layout.host_offsets[:-1][rows], layout.lengths[rows])


def _rows(entry: Any, count: int) -> Tensor:
    if not isinstance(entry, slice):
        return as_rows(entry, count)
    start, stop, step = entry.indices(count)
    return torch.arange(start, max(start, stop) if step > 0 else min(start, stop), step)


def _cut(values: Tensor, layout: Layout, steps: slice) -> tuple[Tensor, Layout]:
    """Apply one slice to the steps of every sequence."""
    if steps == _ALL:
        return values, layout
    stride = 1 if steps.step is None else operator.index(steps.step)
    if stride < 1:
        raise UnsupportedError(
            f"the stride of a slice of steps must be at least 1, as in torch, got {stride}; use x.reverse() "
            "to reverse time"
        )
    lengths = layout.lengths
    start = torch.zeros_like(lengths) if steps.start is None else _clamped(steps.start, lengths)
    stop = lengths if steps.stop is None else _clamped(steps.stop, lengths)
    count = (stop - start + stride - 1).div(stride, rounding_mode="floor").clamp(min=0)
    return take(values, layout, layout.host_offsets[:-1] + start, count, stride)


def _clamped(bound: Any, lengths: Tensor) -> Tensor:
    bound = operator.index(bound)
    return (lengths + bound).clamp(min=0) if bound < 0 else lengths.clamp(max=bound)


def _tokens(values: Tensor, layout: Layout, first: Any, entry: Any) -> Tensor:
    """Return one step of each sequence, the same steps of each, or pairs of sequence and step."""
    rows, step = _rows(first, len(layout)), as_int(entry)
    steps = as_steps(entry) if step is None else torch.tensor(step)
    if isinstance(first, slice):
        rows = rows.view(-1, *(1,) * steps.dim())
    elif steps.dim() and len(rows) != len(steps) and 1 not in {len(rows), len(steps)}:
        raise IndexError(
            f"{len(rows)} sequences and {len(steps)} steps select pairs, as in torch, and must agree in "
            "number; use x[rows][:, steps] for all of these steps of each sequence"
        )
    sequences, steps = torch.broadcast_tensors(rows, steps)
    lengths = layout.lengths[sequences]
    invalid = (steps < -lengths) | (steps >= lengths)
    if is_compiling():
        assert_when_run(~invalid, "a step is out of range for its sequence")
    elif invalid.any():
        sequence, step, length = (int(part[invalid][0]) for part in (sequences, steps, lengths))
        raise IndexError(f"step {step} is out of range for sequence {sequence}, which has {length} steps")
    tokens = layout.host_offsets[sequences] + torch.where(steps < 0, steps + lengths, steps)
    selected = values.index_select(0, tokens.flatten().to(values.device))
    return selected.view(*tokens.shape, *values.shape[1:])
