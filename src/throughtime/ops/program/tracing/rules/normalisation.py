"""Layer, root mean square, group and batch normalisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.rules.reductions import mean
from throughtime.ops.program.tracing.values import contiguous, regrouped

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.lowering import Lowering
    from throughtime.ops.program.tracing.values import Value


def _normalised(low: Lowering, a: Value, dims: list[int], eps: Any) -> Value:
    centred = low.add(a, mean(low, a, dims, keepdim=True), -1.0)
    variance = mean(low, low.call("square", centred), dims, keepdim=True)
    return low.mul(centred, low.call("rsqrt", low.add(variance, low.scalar(eps))))


def _scaled(low: Lowering, a: Value, weight: Value | None, bias: Value | None) -> Value:
    a = a if weight is None else low.mul(a, weight)
    return a if bias is None else low.add(a, bias)


def _last(shape: list[int]) -> list[int]:
    return list(range(-len(shape), 0))


def _layer_norm(
    low: Lowering, a: Value, shape: list[int], weight: Value | None, bias: Value | None, eps: Any
) -> tuple[Value | None, ...]:
    if a.merged or a.width != math.prod(shape):
        return _scaled(low, _normalised(low, a, _last(shape), eps), weight, bias), None, None
    return _scaled(low, _standardised(low, a, low.scalar(eps)), weight, bias), None, None


def _standardised(low: Lowering, a: Value, eps: float) -> Value:
    """Normalise whole rows, in fewer operators."""
    row = low.row(a)
    deviation = row.builder.apply("inverse_deviation", [row], 1, numbers=(eps,))
    result = row.builder.apply("standardize", [row, deviation], row.width)
    return contiguous(result, tuple(None if axis is None else axis.size for axis in a.axes))


def _rms_norm(
    low: Lowering, a: Value, shape: list[int], weight: Value | None = None, eps: Any = None
) -> tuple[Value | None, ...]:
    eps = torch.finfo(low.dtype).eps if eps is None else eps
    squares = mean(low, low.call("square", a), _last(shape), keepdim=True)
    root = low.call("rsqrt", low.add(squares, low.scalar(eps)))
    return _scaled(low, low.mul(a, root), weight, None), None


def _group_norm(
    low: Lowering,
    a: Value,
    weight: Value | None,
    bias: Value | None,
    _n: Any,
    channels: int,
    rest: int,
    groups: int,
    eps: Any,
) -> tuple[Value | None, ...]:
    flat = low.contiguous(a)
    grouped = flat.with_axes(None, *(regrouped(flat.features, (groups, channels // groups * rest)) or ()))
    result = low.contiguous(_normalised(low, grouped, [-1], eps))
    result = result.with_axes(None, *(regrouped(result.features, flat.sizes) or ()))
    trailing = a.rank - 2
    return _scaled(low, result, *(_with_trailing(part, trailing) for part in (weight, bias))), None, None


def _with_trailing(part: Value | None, ones: int) -> Value | None:
    from throughtime.ops.program.tracing.rules.views import VIEW_RULES

    for _ in range(0 if part is None else ones):
        part = VIEW_RULES["unsqueeze"](None, part, -1)
    return part


def _batch_norm(
    low: Lowering,
    a: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value,
    running_var: Value,
    _momentum: Any,
    eps: Any,
) -> tuple[Value | None, ...]:
    trailing = a.rank - 2
    weight, bias, centre, variance = (
        _with_trailing(part, trailing) for part in (weight, bias, running_mean, running_var)
    )
    scale = low.call("rsqrt", low.add(variance, low.scalar(eps)))  # type: ignore[arg-type]
    return _scaled(low, low.mul(low.add(a, centre, -1.0), scale), weight, bias), None, None  # type: ignore[arg-type]


def _in_training(low: Lowering, *_: Any, **__: Any) -> Value:
    raise UntraceableError("in training, batch normalisation mixes sequences")


def _native_batch_norm(
    low: Lowering,
    a: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    training: bool,
    *numbers: Any,
) -> tuple[Value | None, ...]:
    if training or running_mean is None or running_var is None:
        return (_in_training(low),)
    return _batch_norm(low, a, weight, bias, running_mean, running_var, *numbers)


NORMALISATION: dict[str, Callable[..., Any]] = {
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _rms_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _native_batch_norm,
    "_native_batch_norm_legit": _in_training,
    "_native_batch_norm_legit_no_training": _batch_norm,
}
