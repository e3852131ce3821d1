"""Comparisons, choices and bounds. A condition is 1 or 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering, Operand
    from throughtime.ops.program.tracing.values import Value


def _comparison(name: str) -> Callable[..., Value]:
    return lambda low, a, b: low.call(name, low.operand(a), low.operand(b))


def _where(low: Lowering, condition: Value, a: Operand, b: Operand) -> Value:
    return low.call("where", condition, low.operand(a), low.operand(b))


def _masked_fill(low: Lowering, a: Value, mask: Value, value: Operand) -> Value:
    return low.call("where", mask, low.operand(value), a)


def clamp(low: Lowering, a: Value, low_end: Operand | None = None, high_end: Operand | None = None) -> Value:
    """Bound a; its gradient passes where it is equal to a bound, as in torch."""
    if low_end is not None:
        bound = low.operand(low_end)
        a = low.call("where", low.call("lt", a, bound), bound, a)
    if high_end is not None:
        bound = low.operand(high_end)
        a = low.call("where", low.call("gt", a, bound), bound, a)
    return a


def _clamp(low: Lowering, a: Value, min: Any = None, max: Any = None) -> Value:  # noqa: A002 - aten's names
    return clamp(low, a, min, max)


def _is_true(low: Lowering, a: Value) -> Value:
    return low.call("ne", a, 0.0)


def _and(low: Lowering, a: Value, b: Value) -> Value:
    return low.call("mul", _is_true(low, a), _is_true(low, b))


def _or(low: Lowering, a: Value, b: Value) -> Value:
    return low.call("maximum", _is_true(low, a), _is_true(low, b))


def _xor(low: Lowering, a: Value, b: Value) -> Value:
    return low.call("ne", _is_true(low, a), _is_true(low, b))


def _not(low: Lowering, a: Value) -> Value:
    return low.call("eq", a, 0.0)


CONDITIONS: dict[str, Callable[..., Any]] = {
    **{name: _comparison(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    "where": _where,
    "masked_fill": _masked_fill,
    "clamp": _clamp,
    "clamp_min": clamp,
    "clamp_max": lambda low, a, high: clamp(low, a, None, high),
    "isnan": lambda low, a: low.call("ne", a, a),
    "logical_and": _and,
    "logical_or": _or,
    "logical_xor": _xor,
    "logical_not": _not,
    "bitwise_and": _and,
    "bitwise_or": _or,
    "bitwise_xor": _xor,
    "bitwise_not": _not,
}
