"""Tensors of one number, and changes of dtype that the loop does not make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from throughtime.ops.program.tracing.values import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering
    from throughtime.ops.program.tracing.values import Value


def _full(low: Lowering, size: Any, fill_value: Any, **_: Any) -> Value:
    sizes, _merged = low.source.split_sizes(size)
    return number(low.scalar(fill_value), sizes)


def _full_like(low: Lowering, like: Value, fill_value: Any, **_: Any) -> Value:
    return number(low.scalar(fill_value), tuple(None if axis is None else axis.size for axis in like.axes))


def _same(low: Lowering, a: Value, *_: Any, **__: Any) -> Value:
    return a


CREATION: dict[str, Callable[..., Any]] = {
    "full": _full,
    "zeros": lambda low, size, **_: _full(low, size, 0.0),
    "ones": lambda low, size, **_: _full(low, size, 1.0),
    "new_zeros": lambda low, like, size, **_: _full(low, size, 0.0),
    "new_ones": lambda low, like, size, **_: _full(low, size, 1.0),
    "new_full": lambda low, like, size, fill_value, **_: _full(low, size, fill_value),
    "full_like": _full_like,
    "zeros_like": lambda low, like, **_: _full_like(low, like, 0.0),
    "ones_like": lambda low, like, **_: _full_like(low, like, 1.0),
    "fill": _full_like,
    "zero": lambda low, like, **_: _full_like(low, like, 0.0),
    "scalar_tensor": lambda low, value, **_: number(low.scalar(value), ()),
    "detach": lambda low, a: low.call("stop", a),
    **dict.fromkeys(("_to_copy", "clone", "alias", "lift_fresh", "lift_fresh_copy", "contiguous"), _same),
}
