r"""What ``x[...]`` means: an index of the tensor (B, L, \*D) that the padded batch is, without its padding.

The first entry selects sequences, the second steps of each of them, the others features. What is left has
one row per sequence (a tensor), or sequences of unequal length (values and a layout).
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
    """Return a tensor where one sequence or one step is named, else values and their layout.

    Raises
    ------
    IndexError
        If a sequence or step is out of range, or there are more entries than dimensions.
    InputTypeError
        If an entry is no index.
    ShapeError
        If a mask has another number of entries than there are sequences.
    UnsupportedError
        If a tensor's result has no place in a ragged batch; the message names what to use.
    """
    if isinstance(index, slice | list):
        return _select(values, layout, index)
    first, *rest = _expanded(index if isinstance(index, tuple) else (index,), values.dim() + 1)
    sequence = as_int(first)
    if sequence is not None:
        start, end = bounds(layout, sequence)
        return values[start:end][tuple(rest)] if rest else values[start:end]
    _refuse_new_dimension(first)
    if not rest:
        return _select(values, layout, first)
    steps, *features = rest
    _refuse_new_dimension(steps)
    if features:
        values = _of_features(values, first, steps, features)
    if isinstance(steps, slice):
        return _cut(*_select(values, layout, first), steps)
    return _tokens(values, layout, first, steps)


def bounds(layout: Layout, sequence: int) -> tuple[int, int]:
    """Return where a sequence begins and ends among the tokens."""
    count = len(layout)
    if not -count <= sequence < count:
        raise IndexError(f"sequence {sequence} of a batch of {count}")
    host = layout.host_offsets
    return int(host[sequence % count]), int(host[sequence % count + 1])


def _expanded(entries: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    """Return at least one entry, and none that is an ellipsis."""
    places = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    taken = sum(map(dimensions, entries))
    if len(places) > 1 or taken > rank:
        raise IndexError(
            f"{taken} indices and {len(places)} ellipses for a batch of {rank} dimensions (sequences, steps, "
            f"{rank - 2} of features); give at most one for each, and one ellipsis"
        )
    for place in places:
        entries = (*entries[:place], *(_ALL,) * (rank - taken), *entries[place + 1 :])
    if any(map(is_truth_value, entries)):
        raise InputTypeError(
            "a single truth value selects nothing of a Ragged; a mask has one for each sequence"
        )
    return entries or (_ALL,)


def _refuse_new_dimension(entry: Any) -> None:
    if entry is None:
        raise UnsupportedError(
            "None in front of sequences or steps would add a dimension that a Ragged does not have; put it "
            "behind them, as in x[..., None], or index the padded batch, x.to_padded()[None]"
        )


def _of_features(values: Tensor, first: Any, steps: Any, features: list[Any]) -> Tensor:
    if any(map(is_list, features)) and sum(map(is_list, (first, steps, *features))) > 1:
        raise UnsupportedError(
            "of several lists or tensors a tensor takes entries in pairs, which for features has no place "
            "in a Ragged; index one after the other, as in x[rows][:, :, features]"
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
    """Cut every sequence by one slice."""
    if steps == _ALL:
        return values, layout
    stride = 1 if steps.step is None else operator.index(steps.step)
    if stride < 1:
        raise UnsupportedError(
            f"steps are cut with a stride of at least 1, as in torch, got {stride}; x.reverse() reverses time"
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
    """Return one step of each sequence, the same few of each, or pairs of sequence and step."""
    rows, step = _rows(first, len(layout)), as_int(entry)
    steps = as_steps(entry) if step is None else torch.tensor(step)
    if isinstance(first, slice):
        rows = rows.view(-1, *(1,) * steps.dim())
    elif steps.dim() and len(rows) != len(steps) and 1 not in {len(rows), len(steps)}:
        raise IndexError(
            f"{len(rows)} sequences and {len(steps)} steps are taken in pairs, as torch does, and do not "
            "match; x[rows][:, steps] takes all of these steps of each sequence"
        )
    sequences, steps = torch.broadcast_tensors(rows, steps)
    lengths = layout.lengths[sequences]
    wrong = (steps < -lengths) | (steps >= lengths)
    if is_compiling():
        assert_when_run(~wrong, "a sequence has no such step")
    elif wrong.any():
        sequence, step, length = (int(part[wrong][0]) for part in (sequences, steps, lengths))
        raise IndexError(f"step {step} of sequence {sequence}, which has {length} steps")
    places = layout.host_offsets[sequences] + torch.where(steps < 0, steps + lengths, steps)
    rows = values.index_select(0, places.flatten().to(values.device))
    return rows.view(*places.shape, *values.shape[1:])
