"""Operands of one pointwise operator brought to one shape."""

from dataclasses import replace

from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.values import Axis, Value


def broadcast(values: list[Value]) -> tuple[list[Value], tuple[int | None, ...], bool]:
    """Return values of one shape, that shape with None for the sequences, and whether they are merged."""
    batched = [value for value in values if value.batch is not None]
    merged = any(value.merged for value in batched)
    if batched:
        after = len(batched[0].axes) - (batched[0].batch or 0) - 1
        if any(len(value.axes) - (value.batch or 0) - 1 != after for value in batched):
            raise UntraceableError("it mixes sequences")
        if any(value.merged != merged for value in batched):
            raise UntraceableError("it mixes sequences and features")
        values = [_with_batch(value, after, merged=merged) for value in values]
    rank = max(len(value.axes) for value in values)
    values = [value.with_axes(*[Axis(1, 0)] * (rank - len(value.axes)), *value.axes) for value in values]
    sizes = tuple(_size([value.axes[position] for value in values]) for position in range(rank))
    return [replace(_expanded(value, sizes), merged=merged) for value in values], sizes, merged


def _with_batch(value: Value, after: int, *, merged: bool) -> Value:
    """Give a constant the dimension of the sequences, which has a size of 1 there or is missing."""
    if value.batch is not None:
        return value
    features = after - merged
    ones = (Axis(1, 0),) * (features - len(value.axes))
    axes = (*ones, *value.axes)
    before, here = axes[: len(axes) - features][:-1], axes[: len(axes) - features][-1:]
    if here and here[0] is not None and here[0].size != 1:
        raise UntraceableError("it needs a fixed number of sequences")
    behind = axes[len(axes) - features :]
    return value.with_axes(*before, None, *([Axis(1, 0)] * merged), *behind)


def _size(axes: list[Axis | None]) -> int | None:
    sizes = {axis.size for axis in axes if axis is not None}
    if any(axis is None for axis in axes):
        return None
    return next((size for size in sizes if size != 1), 1)


def _expanded(value: Value, sizes: tuple[int | None, ...]) -> Value:
    axes = [
        axis if axis is None or size is None or axis.size == size else Axis(size, 0)
        for axis, size in zip(value.axes, sizes, strict=True)
    ]
    return value.with_axes(*axes)
