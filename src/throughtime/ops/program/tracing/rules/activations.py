"""Activation functions of torch.nn.functional, with torch's gradients where they have a corner."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from throughtime.ops.program.tracing.rules.conditions import clamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering, Operand
    from throughtime.ops.program.tracing.values import Value


def _silu(low: Lowering, a: Value) -> Value:
    return low.mul(a, low.call("sigmoid", a))


def _gelu(low: Lowering, a: Value, approximate: str = "none") -> Value:
    if approximate == "none":
        inner = low.call("erf", low.mul(a, 1 / math.sqrt(2)))
    else:
        cubic = low.mul(low.mul(low.call("square", a), a), 0.044715)
        inner = low.call("tanh", low.mul(low.add(a, cubic), math.sqrt(2 / math.pi)))
    return low.mul(low.mul(a, 0.5), low.add(inner, 1.0))


def _elu(low: Lowering, a: Value, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Value:
    positive = low.call("gt", a, 0.0)
    # exp of positive numbers, which are not chosen, could be infinite, and their gradient then NaN.
    negative = low.call("where", positive, 0.0, a)
    curve = low.mul(low.call("expm1", low.mul(negative, low.scalar(input_scale))), low.scalar(alpha))
    return low.call("where", positive, low.mul(a, low.scalar(scale)), low.mul(curve, low.scalar(scale)))


def _leaky_relu(low: Lowering, a: Value, negative_slope: Any = 0.01) -> Value:
    return low.call("where", low.call("gt", a, 0.0), a, low.mul(a, low.scalar(negative_slope)))


def _prelu(low: Lowering, a: Value, weight: Value) -> Value:
    return low.call("where", low.call("gt", a, 0.0), a, low.mul(a, weight))


def _hardtanh(low: Lowering, a: Value, min_val: Any = -1, max_val: Any = 1) -> Value:
    """Bound a; no gradient passes where it is equal to a bound."""
    begin, end = low.scalar(min_val), low.scalar(max_val)
    a = low.call("where", low.call("le", a, begin), begin, a)
    return low.call("where", low.call("ge", a, end), end, a)


def _hardsigmoid(low: Lowering, a: Value) -> Value:
    return low.mul(_hardtanh(low, low.add(a, 3.0), 0, 6), 1 / 6)


def _hardswish(low: Lowering, a: Value) -> Value:
    return low.mul(a, low.mul(clamp(low, low.add(a, 3.0), 0.0, 6.0), 1 / 6))


def _softplus(low: Lowering, a: Value, beta: Any = 1, threshold: Any = 20) -> Value:
    beta, threshold = low.scalar(beta), low.scalar(threshold)
    if (beta, threshold) == (1.0, 20.0):
        return low.call("softplus", a)
    scaled = low.mul(a, beta)
    beyond = low.call("gt", scaled, threshold)
    curve = low.call("log1p", low.call("exp", low.call("where", beyond, 0.0, scaled)))
    return low.call("where", beyond, a, low.mul(curve, 1 / beta))


def _log_sigmoid(low: Lowering, a: Value) -> Value:
    curve = low.call("log1p", low.call("exp", low.mul(low.call("abs", a), -1.0)))
    return low.add(low.call("minimum", a, 0.0), curve, -1.0)


def _mish(low: Lowering, a: Value) -> Value:
    return low.mul(a, low.call("tanh", low.call("softplus", a)))


def _threshold(low: Lowering, a: Value, threshold: Any, value: Operand) -> Value:
    return low.call("where", low.call("le", a, low.scalar(threshold)), low.operand(value), a)


def _glu(low: Lowering, a: Value, dim: int = -1) -> Value:
    position = a.dim(dim)
    axis = a.axis(dim)
    half = axis._replace(size=axis.size // 2)
    axes = (*a.axes[:position], half, *a.axes[position + 1 :])
    second = a.with_axes(*axes, offset=a.offset + half.size * axis.stride)
    return low.mul(a.with_axes(*axes), low.call("sigmoid", second))


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "silu": _silu,
    "gelu": _gelu,
    "elu": _elu,
    "celu": lambda low, a, alpha=1.0: _elu(low, a, alpha, 1, 1 / alpha),
    "leaky_relu": _leaky_relu,
    "_prelu_kernel": _prelu,
    "hardtanh": _hardtanh,
    "relu6": lambda low, a: _hardtanh(low, a, 0, 6),
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "softplus": _softplus,
    "log_sigmoid": _log_sigmoid,
    "log_sigmoid_forward": lambda low, a: (_log_sigmoid(low, a), None),
    "mish": _mish,
    "threshold": _threshold,
    "glu": _glu,
}
