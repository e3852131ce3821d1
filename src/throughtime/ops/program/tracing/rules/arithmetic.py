"""Sums, products, powers and elementary functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from throughtime.ops.program.tracing.errors import UntraceableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering, Operand
    from throughtime.ops.program.tracing.values import Value


def _add(low: Lowering, a: Operand, b: Operand, alpha: Any = 1) -> Value:
    return low.add(low.operand(a), low.operand(b), low.scalar(alpha))


def _sub(low: Lowering, a: Operand, b: Operand, alpha: Any = 1) -> Value:
    return low.add(low.operand(a), low.operand(b), -low.scalar(alpha))


def _rsub(low: Lowering, a: Operand, b: Operand, alpha: Any = 1) -> Value:
    return low.add(low.operand(b), low.operand(a), -low.scalar(alpha))


def _mul(low: Lowering, a: Operand, b: Operand) -> Value:
    return low.mul(low.operand(a), low.operand(b))


def _div(low: Lowering, a: Operand, b: Operand, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise UntraceableError(f"division with rounding_mode={rounding_mode!r} has no native implementation")
    return low.div(low.operand(a), low.operand(b))


def _lerp(low: Lowering, a: Value, b: Value, weight: Operand) -> Value:
    return low.call("lerp", a, b, low.operand(weight))


def _addcmul(low: Lowering, a: Value, b: Value, c: Value, value: Any = 1) -> Value:
    return low.add(a, low.mul(b, c), low.scalar(value))


def _addcdiv(low: Lowering, a: Value, b: Value, c: Value, value: Any = 1) -> Value:
    return low.add(a, low.div(b, c), low.scalar(value))


def _pow(low: Lowering, a: Operand, b: Operand) -> Value:
    base, power = low.number(a), low.number(b)
    if power is None:
        if base is None or base <= 0:
            raise UntraceableError(
                "a power whose exponent is a tensor has no native implementation; use exp(b * log(a))"
            )
        return low.call("exp", low.mul(b, math.log(base)))
    return low.call("pow", a, numbers=(power,))


def _scaled(name: str, inside: float, outside: float) -> Callable[[Lowering, Value], Value]:
    """Return outside · function(inside · a)."""
    return lambda low, a: low.mul(low.call(name, low.mul(a, inside)), outside)


def _sinh(low: Lowering, a: Value, sign: float = -1.0) -> Value:
    grown = low.call("exp", a)
    return low.mul(low.add(grown, low.call("reciprocal", grown), sign), 0.5)


def _tan(low: Lowering, a: Value) -> Value:
    return low.div(low.call("sin", a), low.call("cos", a))


def _plain(name: str) -> Callable[[Lowering, Value], Value]:
    return lambda low, a: low.call(name, a)


def _pair(name: str) -> Callable[[Lowering, Value, Value], Value]:
    return lambda low, a, b: low.call(name, low.operand(a), low.operand(b))


ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "div": _div,
    "true_divide": _div,
    "neg": lambda low, a: low.mul(a, -1.0),
    "lerp": _lerp,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "pow": _pow,
    "square": _plain("square"),
    "maximum": _pair("maximum"),
    "minimum": _pair("minimum"),
    "sgn": _plain("sign"),
    "exp2": _scaled("exp", math.log(2), 1.0),
    "log2": _scaled("log", 1.0, 1 / math.log(2)),
    "log10": _scaled("log", 1.0, 1 / math.log(10)),
    "sinh": _sinh,
    "cosh": lambda low, a: _sinh(low, a, 1.0),
    "tan": _tan,
    "erfc": lambda low, a: low.add(1.0, low.call("erf", a), -1.0),
    **{
        name: _plain(name)
        for name in (
            "exp log log1p expm1 sqrt rsqrt reciprocal abs sign sin cos erf sigmoid tanh relu".split()  # noqa: SIM905
        )
    },
}
