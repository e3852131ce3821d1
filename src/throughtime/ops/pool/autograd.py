"""The native pooling under eager autograd, and which values may take it."""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops.plain import FULL, HALF, differentiable, on_plain_cpu, undisturbed
from throughtime.ops.pool import native
from throughtime.ops.pool.reference import (
    at_largest_reference,
    max_gradient_reference,
    mean_gradient_reference,
)
from throughtime.ops.windows import Divisor, Geometry, Windows
from throughtime.ragged import Layout

_DTYPES = (*FULL, *HALF)


def takes_at_once(values: Tensor) -> bool:
    """Tell whether native code alone has a part in a call; it looks at dtypes and shapes itself."""
    return values.is_cpu and undisturbed(values) and values.shape[0] <= native.MOST_ROWS


def takes(values: Tensor) -> bool:
    """Tell whether the kernels may have these values."""
    return values.dtype in _DTYPES and on_plain_cpu(values) and values.shape[0] <= native.MOST_ROWS


def whole(layout: Layout) -> Geometry:
    """Return the geometry in which each sequence is one window."""
    return Geometry(layout.offsets, native.one_each(layout.num_sequences), Windows(layout.total))


def largest(values: Tensor, geometry: Geometry, total: int, nothing: float) -> Tensor:
    """Return the largest value of each window; ``nothing`` for one without taps in its sequence."""
    x = values.float() if values.dtype in HALF else values
    if differentiable(x):
        y: Tensor = _Largest.apply(x, geometry, total, nothing)  # type: ignore[no-untyped-call]
    else:
        y, _ = native.largest(x, geometry, total, nothing, index=False)
    return y.to(values.dtype)


def summed(values: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    """Return the sum or mean of each window."""
    x = values.float() if values.dtype in HALF else values
    return _summed(x, geometry, total, divisor).to(values.dtype)


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: Geometry, total: int, nothing: float) -> Tensor:
        y, index = native.largest(x, geometry, total, nothing, index=True)
        ctx.geometry, ctx.tokens = geometry, x.shape[0]
        ctx.save_for_backward(index)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,), (index,) = gradients, ctx.saved_tensors
        return _largest_gradient(dy, index, ctx.geometry, ctx.tokens), None, None, None


class _LargestGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dy: Tensor, index: Tensor, geometry: Geometry, total: int) -> Tensor:
        ctx.geometry = geometry
        ctx.save_for_backward(index)
        return native.largest_gradient(dy, index, geometry, total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (ddx,), (index,) = gradients, ctx.saved_tensors
        return at_largest_reference(ddx, index, ctx.geometry), None, None, None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
        ctx.geometry, ctx.divisor, ctx.tokens = geometry, divisor, x.shape[0]
        return native.summed(x, geometry, total, divisor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _summed_gradient(gradients[0], ctx.geometry, ctx.tokens, ctx.divisor), None, None, None


class _SummedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dy: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
        ctx.geometry, ctx.divisor, ctx.windows = geometry, divisor, dy.shape[0]
        return native.summed_gradient(dy, geometry, total, divisor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _summed(gradients[0], ctx.geometry, ctx.windows, ctx.divisor), None, None, None


def _summed(x: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    if not differentiable(x):
        return native.summed(x, geometry, total, divisor)
    y: Tensor = _Summed.apply(x, geometry, total, divisor)  # type: ignore[no-untyped-call]
    return y


# A backward pass may meet what a forward pass did not: many gradients at once, a transform, a mode.


def _largest_gradient(dy: Tensor, index: Tensor, geometry: Geometry, total: int) -> Tensor:
    if not on_plain_cpu(dy):
        return max_gradient_reference(dy, index, geometry, total)
    if not differentiable(dy):
        return native.largest_gradient(dy, index, geometry, total)
    dx: Tensor = _LargestGradient.apply(dy, index, geometry, total)  # type: ignore[no-untyped-call]
    return dx


def _summed_gradient(dy: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    if not on_plain_cpu(dy):
        return mean_gradient_reference(dy, geometry, total, divisor)
    if not differentiable(dy):
        return native.summed_gradient(dy, geometry, total, divisor)
    dx: Tensor = _SummedGradient.apply(dy, geometry, total, divisor)  # type: ignore[no-untyped-call]
    return dx
