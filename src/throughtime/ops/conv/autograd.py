"""The native convolution under eager autograd: the operators' gradients at less of a cost."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.ops.conv import native
from throughtime.ops.conv.gradients import (
    Functions,
    Gradients,
    of_correlate,
    of_input_gradient,
    of_weight_gradient,
)
from throughtime.ops.conv.registered import REGISTERED
from throughtime.ops.plain import differentiable, is_batched
from throughtime.ops.windows import Geometry

# A rule runs with gradients enabled only where somebody will differentiate its result, too.


class _Correlate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        total: int,
        relu: bool,  # noqa: FBT001 - the protocol takes positional arguments
    ) -> Tensor:
        y = native.forward(x, weight, bias, geometry, total, relu=relu)
        ctx.geometry = geometry
        ctx.save_for_backward(x, weight, y if relu else None)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        (dy,) = gradients
        x, weight, rectified = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        input_grads = of_correlate(_functions(dy), dy, x, weight, rectified, ctx.geometry, needs)
        return (*input_grads, None, None, None)


class _InputGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, dy: Tensor, weight: Tensor, start: Tensor | None, geometry: Geometry, total: int
    ) -> Tensor:
        ctx.geometry = geometry
        ctx.save_for_backward(dy, weight)
        return native.input_gradient(dy, weight, start, geometry, total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        (ddx,) = gradients
        dy, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        input_grads = of_input_gradient(_functions(ddx), ddx, dy, weight, ctx.geometry, needs)
        return (*input_grads, None, None)


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dy: Tensor,
        geometry: Geometry,
        bias: bool,  # noqa: FBT001
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.geometry, ctx.bias = geometry, bias
        ctx.save_for_backward(x, dy)
        return native.weight_gradient(x, dy, geometry, bias=bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        ddw, ddb = gradients
        x, dy = ctx.saved_tensors
        needs = ctx.needs_input_grad[:2]
        input_grads = of_weight_gradient(
            _functions(ddw, ddb), ddw, ddb if ctx.bias else None, x, dy, ctx.geometry, needs
        )
        return (*input_grads, None, None)


def correlate(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, total: int, *, relu: bool = False
) -> Tensor:
    """Run the kernel, see `correlate_reference`."""
    if not differentiable(x, weight, bias):
        return native.forward(x, weight, bias, geometry, total, relu=relu)
    y: Tensor = _Correlate.apply(x, weight, bias, geometry, total, relu)  # type: ignore[no-untyped-call]
    return y


def input_gradient(
    dy: Tensor, weight: Tensor, start: Tensor | None, geometry: Geometry, total: int
) -> Tensor:
    """Run the kernel, see `input_gradient_reference`."""
    if not differentiable(dy, weight, start):
        return native.input_gradient(dy, weight, start, geometry, total)
    dx: Tensor = _InputGradient.apply(dy, weight, start, geometry, total)  # type: ignore[no-untyped-call]
    return dx


def _weight_gradient(x: Tensor, dy: Tensor, geometry: Geometry, bias: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001
    if not differentiable(x, dy):
        return native.weight_gradient(x, dy, geometry, bias=bias)
    dw_db: tuple[Tensor, Tensor] = _WeightGradient.apply(x, dy, geometry, bias)  # type: ignore[no-untyped-call]
    return dw_db


def correlate_gradients(
    dy: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, needs: Sequence[bool]
) -> Gradients:
    """Return the gradients of x, weight and bias, which can be differentiated in turn."""
    return of_correlate(_functions(dy), dy, x, weight, None, geometry, needs)


EAGER = Functions(correlate, input_gradient, _weight_gradient)


def _functions(*gradients: Tensor | None) -> Functions:
    """Leave many gradients at once to the operators, which torch takes apart."""
    return REGISTERED if is_batched(*gradients) else EAGER
