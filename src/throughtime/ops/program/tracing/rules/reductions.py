"""Sums, means, maxima and what is made of them, over features."""

from __future__ import annotations

import math
from math import prod
from typing import TYPE_CHECKING, Any

from throughtime.ops.program.tracing.errors import UntraceableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering
    from throughtime.ops.program.tracing.values import Value


def _dims(a: Value, dim: Any) -> list[int]:
    if dim is None or dim == []:
        raise UntraceableError("it mixes sequences")
    return [part % a.rank for part in (dim if isinstance(dim, list) else [dim])]


def _count(a: Value, dims: list[int]) -> int:
    return prod(a.axis(dim).size for dim in dims)


def _sum(low: Lowering, a: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    return low.reduce("sum", a, _dims(a, dim), keepdim=keepdim)


def mean(low: Lowering, a: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:
    """Return the mean over dimensions."""
    dims = _dims(a, dim)
    return low.mul(low.reduce("sum", a, dims, keepdim=keepdim), 1 / _count(a, dims))


def _amax(low: Lowering, a: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return low.reduce("max", a, _dims(a, dim), keepdim=keepdim)


def _amin(low: Lowering, a: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return low.mul(_amax(low, low.mul(a, -1.0), dim, keepdim), -1.0)


def _var(low: Lowering, a: Value, dim: Any = None, correction: Any = 1, keepdim: Any = False) -> Value:
    dims = _dims(a, dim)
    centred = low.add(a, mean(low, a, dims, keepdim=True), -1.0)
    freedom = _count(a, dims) - low.scalar(1 if correction is None else correction)
    return low.mul(low.reduce("sum", low.call("square", centred), dims, keepdim=keepdim), 1 / freedom)


def _std(low: Lowering, a: Value, dim: Any = None, correction: Any = 1, keepdim: Any = False) -> Value:
    return low.call("sqrt", _var(low, a, dim, correction, keepdim))


def _var_mean(low: Lowering, a: Value, dim: Any = None, **options: Any) -> tuple[Value, Value]:
    return _var(low, a, dim, **options), mean(low, a, dim, keepdim=options.get("keepdim", False))


def _any(low: Lowering, a: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return _amax(low, low.call("ne", a, 0.0), dim, keepdim)


def _all(low: Lowering, a: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return low.call("eq", _amax(low, low.call("eq", a, 0.0), dim, keepdim), 0.0)


def _norm(low: Lowering, a: Value, ord: Any = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Value:  # noqa: A002
    order = 2.0 if ord is None else low.scalar(ord)
    if order == 1.0:
        return _sum(low, low.call("abs", a), dim, keepdim)
    if order == math.inf:
        return _amax(low, low.call("abs", a), dim, keepdim)
    if order != 2.0:
        raise UntraceableError(
            f"a norm of order {order} has no native implementation; 1, 2 and infinity have"
        )
    squares = _sum(low, low.call("square", a), dim, keepdim)
    # The gradient at zero is zero, as in torch, and not that of the root.
    zero = low.call("eq", squares, 0.0)
    return low.call("where", zero, 0.0, low.call("sqrt", low.call("where", zero, 1.0, squares)))


def _below_maximum(low: Lowering, a: Value, dim: int) -> Value:
    """Return a minus its maximum, which has no gradient."""
    return low.add(a, low.call("stop", low.reduce("max", a, [dim], keepdim=True)), -1.0)


def _softmax(low: Lowering, a: Value, dim: int, *_: Any) -> Value:
    grown = low.call("exp", _below_maximum(low, a, dim))
    return low.div(grown, low.reduce("sum", grown, [dim], keepdim=True))


def _log_softmax(low: Lowering, a: Value, dim: int, *_: Any) -> Value:
    shifted = _below_maximum(low, a, dim)
    grown = low.reduce("sum", low.call("exp", shifted), [dim], keepdim=True)
    return low.add(shifted, low.call("log", grown), -1.0)


def _logsumexp(low: Lowering, a: Value, dim: Any, keepdim: bool = False) -> Value:
    dims = _dims(a, dim)
    largest = low.call("stop", low.reduce("max", a, dims, keepdim=True))
    infinite = low.call("eq", low.call("abs", largest), math.inf)
    largest = low.call("where", infinite, 0.0, largest)
    grown = low.call("exp", low.add(a, largest, -1.0))
    result = low.add(low.call("log", low.reduce("sum", grown, dims, keepdim=True)), largest)
    return result if keepdim else low.reduce("sum", result, dims, keepdim=False)  # of one number each


def _refused(low: Lowering, *_: Any, **__: Any) -> Value:
    raise UntraceableError("max and min with indices have no native implementation; use amax and amin")


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": _sum,
    "mean": mean,
    "amax": _amax,
    "amin": _amin,
    "max": _refused,
    "min": _refused,
    "var": _var,
    "std": _std,
    "var_mean": _var_mean,
    "any": _any,
    "all": _all,
    "linalg_vector_norm": _norm,
    "norm": lambda low, a, p=2, dim=None, keepdim=False, **_: _norm(low, a, p, dim, keepdim),
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "_safe_softmax": _softmax,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
}
