"""Matrix products: with constant matrices in the loop or before it, and of two values of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.rules.views import VIEW_RULES, at, stacked
from throughtime.ops.program.tracing.values import Axis, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering

MOST_PRODUCTS = 65536
"""A product of two values of a row multiplies at most so many pairs of numbers."""


def _mm(low: Lowering, a: Value, b: Value) -> Value:
    if low.is_constant(b):
        return low.product(a, low.transposed(b))
    if low.is_constant(a):
        return low.product(b, low.matrix(a), dim=0)
    raise UntraceableError("it multiplies sequences with one another")


def _plus(low: Lowering, bias: Any, product: Value, beta: Any, alpha: Any) -> Value:
    return low.add(low.mul(product, low.scalar(alpha)), low.mul(bias, low.scalar(beta)))


def _addmm(low: Lowering, bias: Value, a: Value, b: Value, beta: Any = 1, alpha: Any = 1) -> Value:
    plain = low.scalar(beta) == low.scalar(alpha) == 1 and low.is_constant(b)
    if plain and low.is_constant(bias) and bias.rank <= 1:
        return low.product(a, low.transposed(b), bias=bias)
    return _plus(low, bias, _mm(low, a, b), beta, alpha)


def _linear(low: Lowering, a: Value, weight: Value, bias: Value | None = None) -> Value:
    if not low.is_constant(weight):
        raise UntraceableError("a linear map whose weight changes from step to step: write it as torch.bmm")
    if bias is not None and not low.is_constant(bias):
        return low.add(low.product(a, low.matrix(weight)), bias)
    return low.product(a, low.matrix(weight), bias=bias)


def _mv(low: Lowering, a: Value, b: Value) -> Value:
    if not low.is_constant(b):
        raise UntraceableError("it multiplies sequences with one another")
    return _select_last(low, low.product(a, low.matrix(b.with_axes(Axis(1, 0), *b.axes))))


def _select_last(low: Lowering, a: Value) -> Value:
    result: Value = VIEW_RULES["select"](low, a, -1, 0)
    return result


def _bmm(low: Lowering, a: Value, b: Value) -> Value:
    if _is_weight(low, b):
        return _by_constant(low, a, b)
    if _is_weight(low, a):
        transposed = _by_constant(low, _turned(b), _turned(a))
        return _turned(transposed)
    return _of_two_values(low, a, b)


def _is_weight(low: Lowering, value: Value) -> bool:
    return low.is_constant(value)


def _turned(a: Value) -> Value:
    return a.with_axes(*a.axes[:-2], a.axes[-1], a.axes[-2])


def _by_constant(low: Lowering, a: Value, b: Value) -> Value:
    """Multiply (P, i, k) by a constant (P, k, j); the sequences are among P or among i of the first."""
    lead = [position for position, axis in enumerate(a.axes[:-2]) if axis is not None]
    if not lead:
        return low.product(a, low.transposed(b.with_axes(*b.axes[-2:])))
    position = lead[0]
    count = a.axes[position].size  # type: ignore[union-attr]
    parts = [_by_constant(low, at(a, position, index), at(b, position, index)) for index in range(count)]
    return stacked(low, parts, position, merged=a.merged)


def _of_two_values(low: Lowering, a: Value, b: Value) -> Value:
    """Multiply (n, i, k) by (n, k, j) number by number, then sum over k."""
    if a.batch != 0 or b.batch != 0 or a.merged != b.merged:
        raise UntraceableError("it multiplies sequences with one another")
    pairs = a.width * b.axes[-1].size  # type: ignore[union-attr]
    if pairs > MOST_PRODUCTS:
        raise UntraceableError(
            f"it multiplies {pairs} pairs of numbers of each sequence; {MOST_PRODUCTS} are possible"
        )
    left = a.with_axes(*a.axes[:-1], Axis(1, 0), a.axes[-1])
    right = b.with_axes(*b.axes[:-2], Axis(1, 0), b.axes[-1], b.axes[-2])
    return low.reduce("sum", low.mul(left, right), [3], keepdim=False)


def _baddbmm(low: Lowering, bias: Value, a: Value, b: Value, beta: Any = 1, alpha: Any = 1) -> Value:
    return _plus(low, bias, _bmm(low, a, b), beta, alpha)


PRODUCTS: dict[str, Callable[..., Any]] = {
    "mm": _mm,
    "addmm": _addmm,
    "linear": _linear,
    "mv": _mv,
    "bmm": _bmm,
    "baddbmm": _baddbmm,
}
