"""Bounds on a gradient on its way back through time: the tensor itself is left alone.

There are first derivatives alone. A second backward pass would come through the same steps once more, and the
bounds would act on a derivative of the gradient instead of the gradient.
"""

import math
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import ShapeError, UnsupportedError
from throughtime.ops.plain import transformed


def bound_of(value: float | None, name: str, layer: str) -> float:
    """Return a bound, infinity for None.

    Raises
    ------
    ShapeError
        If it is not above zero.
    """
    if value is None:
        return math.inf
    if not value > 0:
        raise ShapeError(f"{layer}: {name} is a bound above 0, or None for no bound; got {value}")
    return float(value)


def bounded_gradient(x: Tensor, value: float, norm: float) -> Tensor:
    """Return ``x`` (n, ·), whose gradient is bounded: entries by ``value``, then rows' norms by ``norm``.

    Raises
    ------
    UnsupportedError
        Under a function transform, and in a backward pass with ``create_graph=True``.
    """
    if transformed():
        raise no_second_derivative()
    bounded: Tensor = _Bounded.apply(x, value, norm)  # type: ignore[no-untyped-call]
    return bounded


def no_second_derivative() -> UnsupportedError:
    """Return the error for differentiating a bounded gradient."""
    return UnsupportedError(
        "a layer with bound_gradients supports first derivatives only, as by loss.backward(), because a "
        "second backward pass would be clipped, too; remove the bounds with layer.bound_gradients() "
        "before a second derivative or a transform of torch.func"
    )


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: float, norm: float) -> Tensor:
        ctx.bounds = value, norm
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():
            raise no_second_derivative()
        value, norm = ctx.bounds
        if value < math.inf:
            gradient = gradient.clamp(-value, value)
        if norm < math.inf:
            length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
            gradient = gradient * torch.where(length > norm, norm / length, torch.ones_like(length))
        return gradient, None, None
