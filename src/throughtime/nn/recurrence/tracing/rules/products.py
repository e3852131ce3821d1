"""Matrix products: with constant matrices in the loop or before it, and of two values of a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from throughtime.nn.recurrence.tracing.errors import UntraceableError
from throughtime.nn.recurrence.tracing.rules.views import VIEW_RULES
from throughtime.nn.recurrence.tracing.values import Axis, Value

if TYPE_CHECKING:
    from torch import fx

    from throughtime.nn.recurrence.tracing.lowering import Lowering

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
    return a.with_axes(a.axes[0], a.axes[2], a.axes[1])


def _by_constant(low: Lowering, a: Value, b: Value) -> Value:
    """Multiply (P, i, k) by a constant (P, k, j); the sequences are among P or among i of the first."""
    if a.axes[0] is None or a.axes[0].size == 1:
        one = b.with_axes(b.axes[1], b.axes[2])
        return low.product(a, _weight(low, one))
    results = []
    for index in range(a.axes[0].size):
        part = VIEW_RULES["select"](low, a, 0, index)
        results.append(low.product(part, _weight(low, VIEW_RULES["select"](low, b, 0, index))))
    result: Value = VIEW_RULES["stack"](low, results, 0)
    return result


def _weight(low: Lowering, b: Value) -> fx.Node:
    """Return a constant (in, out) as a matrix (out, in)."""
    turned = b.with_axes(b.axes[1], b.axes[0])
    return low.matrix(turned)


def _of_two_values(low: Lowering, a: Value, b: Value) -> Value:
    """Multiply (n, i, k) by (n, k, j) number by number, then sum over k."""
    if a.batch != 0 or b.batch != 0:
        raise UntraceableError("it multiplies sequences with one another")
    i, k, j = a.axes[1], a.axes[2], b.axes[2]
    assert i is not None  # noqa: S101 - for mypy: only axis 0 is that of the sequences
    assert k is not None  # noqa: S101
    assert j is not None  # noqa: S101
    if i.size * j.size * k.size > MOST_PRODUCTS:
        raise UntraceableError(
            f"it multiplies {i.size * j.size * k.size} pairs of numbers of each sequence; "
            f"up to {MOST_PRODUCTS} have a native form"
        )
    left = a.with_axes(None, i, Axis(1, 0), k)
    right = b.with_axes(None, Axis(1, 0), j, b.axes[1])
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
