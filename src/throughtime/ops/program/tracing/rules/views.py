"""Operators that relabel numbers or put them side by side."""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.values import Axis, Value, contiguous, number, regrouped

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering


def _permute(low: Lowering, a: Value, dims: list[int]) -> Value:
    return a.with_axes(*(a.axes[position] for dim in dims for position in a.positions(dim)))


def _transpose(low: Lowering, a: Value, first: int, second: int) -> Value:
    dims = list(range(a.rank))
    dims[first], dims[second] = dims[second], dims[first]
    return _permute(low, a, dims)


def _t(low: Lowering, a: Value) -> Value:
    return _permute(low, a, list(reversed(range(a.rank))))


def _unsqueeze(low: Lowering, a: Value, dim: int) -> Value:
    dim = dim % (a.rank + 1)
    position = a.positions(dim)[0] if dim < a.rank else len(a.axes)
    return a.with_axes(*a.axes[:position], Axis(1, 0), *a.axes[position:])


def _squeeze(low: Lowering, a: Value, dim: Any = None) -> Value:
    dims = list(range(a.rank)) if dim is None else dim if isinstance(dim, list) else [dim]
    positions = {a.positions(dim)[0] for dim in dims if a.axes[a.positions(dim)[0]] is not None}
    kept = (axis for position, axis in enumerate(a.axes) if position not in positions or not _is_one(axis))
    return a.with_axes(*kept)


def _is_one(axis: Axis | None) -> bool:
    return axis is not None and axis.size == 1


def _select(low: Lowering, a: Value, dim: int, index: int) -> Value:
    position, axis = a.dim(dim), a.axis(dim)
    offset = a.offset + (index % axis.size) * axis.stride
    return a.with_axes(*a.axes[:position], *a.axes[position + 1 :], offset=offset)


def _slice(low: Lowering, a: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    if a.axes[a.positions(dim)[0]] is None and start in {None, 0} and step == 1 and _is_all(low, end):
        return a
    position, axis = a.dim(dim), a.axis(dim)
    places = range(axis.size)[slice(start, end, step)]
    part = Axis(len(places), axis.stride * step)
    offset = a.offset + places.start * axis.stride
    return a.with_axes(*a.axes[:position], part, *a.axes[position + 1 :], offset=offset)


def _is_all(low: Lowering, end: Any) -> bool:
    return end is None or low.source.rows(end) == 1 or (isinstance(end, int) and end >= 2**62)


def _split(low: Lowering, a: Value, sizes: Any, dim: int = 0) -> tuple[Value, ...]:
    if isinstance(sizes, int):
        whole = a.axis(dim).size
        sizes = [min(sizes, whole - begin) for begin in range(0, whole, sizes)]
    ends = list(accumulate(sizes))
    return tuple(_slice(low, a, dim, end - size, end) for size, end in zip(sizes, ends, strict=True))


def _unbind(low: Lowering, a: Value, dim: int = 0) -> tuple[Value, ...]:
    return tuple(_select(low, a, dim, index) for index in range(a.axis(dim).size))


def _expand(low: Lowering, a: Value, size: list[Any], **_: Any) -> Value:
    if any(low.source.rows(part) is not None for part in size) and a.batch is None:
        a = _with_rows(low, a, size)
    axes: list[Axis | None] = [*[Axis(1, 0)] * (len(size) + a.merged - len(a.axes)), *a.axes]
    wanted = iter(size)
    for position, axis in enumerate(axes):
        if a.merged and position and axes[position - 1] is None:
            continue
        new = next(wanted)
        if axis is not None and axis.size == 1 and isinstance(new, int) and new > 1:
            axes[position] = Axis(new, 0)
    return a.with_axes(*axes)


def _with_rows(low: Lowering, a: Value, size: list[Any]) -> Value:
    """Give a constant the dimension of the sequences in place of one of size 1."""
    position = next(number for number, part in enumerate(size) if low.source.rows(part) is not None)
    if low.source.rows(size[position]) != 1:
        raise UntraceableError("it repeats sequences")
    axes: list[Axis | None] = [*[Axis(1, 0)] * (len(size) - len(a.axes)), *a.axes]
    axes[position] = None
    return a.with_axes(*axes)


def _view(low: Lowering, a: Value, size: list[Any]) -> Value:
    sizes, merged = low.source.split_sizes(_without_minus_one(low, a, size))
    if isinstance(a.base, float):
        return Value(a.base, number(a.base, sizes).axes, 0, merged)
    if a.batch is None or None not in sizes:
        raise UntraceableError("it mixes sequences and features")
    groups = _groups(a, sizes)
    if groups is None:
        a = low.contiguous(a)
        groups = _groups(a, sizes)
    if groups is None:
        raise UntraceableError("it mixes sequences and features")
    before, after = groups
    return Value(a.base, (*before, None, *after), a.offset, merged)


def _without_minus_one(low: Lowering, a: Value, size: list[Any]) -> list[Any]:
    """Return a size with what -1 stands for: features, or the sequences if no other entry does."""
    if not any(isinstance(part, int) and part == -1 for part in size):
        return size
    features = prod(part for part in size if isinstance(part, int) and part != -1)
    rows = [low.source.rows(part) or 1 for part in size if isinstance(part, torch.SymInt)]
    missing, rest = divmod(a.width, features * prod(rows))
    if rest:
        raise UntraceableError("it mixes sequences and features")
    stands_for = missing if rows else low.source.capture.batch * missing
    return [stands_for if isinstance(part, int) and part == -1 else part for part in size]


def _groups(a: Value, sizes: tuple[int | None, ...]) -> tuple[tuple[Axis, ...], tuple[Axis, ...]] | None:
    """Return the axes before and after the sequences, regrouped, or None if that needs a copy."""
    batch, position = a.axes.index(None), sizes.index(None)
    old = [tuple(axis for axis in part if axis) for part in (a.axes[:batch], a.axes[batch + 1 :])]
    new = [tuple(size or 0 for size in part) for part in (sizes[:position], sizes[position + 1 :])]
    if any(prod(axis.size for axis in a) != prod(b) for a, b in zip(old, new, strict=True)):
        raise UntraceableError("it mixes sequences and features")
    before, after = (regrouped(a, b) for a, b in zip(old, new, strict=True))
    return None if before is None or after is None else (before, after)


def _cat(low: Lowering, parts: list[Value], dim: int = 0) -> Value:
    if any(part.batch is None for part in parts):
        raise UntraceableError("it concatenates a constant along the dimension of sequences")
    return _joined(low, parts, parts[0].dim(dim))


def _joined(low: Lowering, parts: list[Value], position: int) -> Value:
    """Put values one after the other along an axis."""
    parts = [part for part in parts if part.width] or parts[:1]
    if len({(part.merged, part.batch) for part in parts}) > 1:
        raise UntraceableError("it mixes sequences and features")
    axes = parts[0].axes
    runs = prod(axis.size for axis in axes[:position] if axis is not None)
    rows = [low.row(part) for part in parts]
    pieces = [row.slice(run * (row.width // runs), row.width // runs) for run in range(runs) for row in rows]
    total = sum(part.axes[position].size for part in parts)  # type: ignore[union-attr, misc]
    sizes = tuple(
        None if axis is None else total if number == position else axis.size
        for number, axis in enumerate(axes)
    )
    return contiguous(low.builder.concat(pieces), sizes, merged=parts[0].merged)


def at(a: Value, position: int, index: int) -> Value:
    """Return the part of a value at an index of an axis."""
    axis = a.axes[position]
    assert axis is not None  # noqa: S101 - for mypy: callers count through features
    merged = a.merged and position - 1 != a.batch
    axes = (*a.axes[:position], *a.axes[position + 1 :])
    return Value(a.base, axes, a.offset + index * axis.stride, merged)


def stacked(low: Lowering, parts: list[Value], position: int, *, merged: bool = False) -> Value:
    """Put values side by side along a new axis."""
    result = _joined(low, [_with_one(part, position) for part in parts], position)
    return Value(result.base, result.axes, result.offset, merged)


def _with_one(a: Value, position: int) -> Value:
    return a.with_axes(*a.axes[:position], Axis(1, 0), *a.axes[position:])


def _stack(low: Lowering, parts: list[Value], dim: int = 0) -> Value:
    dim = dim % (parts[0].rank + 1)
    return _cat(low, [_unsqueeze(low, part, dim) for part in parts], dim)


def _repeat(low: Lowering, a: Value, repeats: list[Any]) -> Value:
    """Repeat features; a constant can be repeated for each sequence."""
    if a.batch is None:
        a = _expand(low, a, [*repeats[: len(repeats) - a.rank], *_sizes_or_repeats(low, a, repeats)])
        repeats = [1 if low.source.rows(part) else part for part in repeats]
    a = a.with_axes(*[Axis(1, 0)] * (len(repeats) - a.rank), *a.axes)
    for dim, count in enumerate(repeats):
        if count != 1:
            position = a.dim(dim)
            a = _joined(low, [a] * count, position)
    return a


def _sizes_or_repeats(low: Lowering, a: Value, repeats: list[Any]) -> list[Any]:
    pairs = zip(a.sizes, repeats[len(repeats) - a.rank :], strict=True)
    return [repeat if low.source.rows(repeat) else size for size, repeat in pairs]


def _flip(low: Lowering, a: Value, dims: list[int]) -> Value:
    for dim in dims:
        position, axis = a.dim(dim), a.axis(dim)
        parts = [_slice(low, a, dim, index, index + 1) for index in reversed(range(axis.size))]
        a = _joined(low, parts, position)
    return a


def _roll(low: Lowering, a: Value, shifts: list[int], dims: list[int]) -> Value:
    if not dims:
        raise UntraceableError("it mixes sequences")
    for shift, dim in zip(shifts, dims, strict=True):
        position, size = a.dim(dim), a.axis(dim).size
        cut = -shift % size
        a = _joined(low, [_slice(low, a, dim, cut, size), _slice(low, a, dim, 0, cut)], position)
    return a


VIEW_RULES: dict[str, Callable[..., Any]] = {
    "permute": _permute,
    "transpose": _transpose,
    "t": _t,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "select": _select,
    "slice": _slice,
    "split": _split,
    "unsafe_split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "expand": _expand,
    "view": _view,
    "_unsafe_view": _view,
    "reshape": _view,
    "cat": _cat,
    "repeat": _repeat,
    "flip": _flip,
    "roll": _roll,
    "stack": _stack,
}
