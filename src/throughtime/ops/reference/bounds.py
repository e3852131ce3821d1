"""Bounds on a gradient on its way back through time: the tensor itself is left alone."""

import math
from typing import Any

import torch
from torch import Tensor


def bounded_gradient(x: Tensor, value: float, norm: float) -> Tensor:
    """Return ``x`` (n, ·), whose gradient is bounded: entries by ``value``, then rows' norms by ``norm``."""
    bounded: Tensor = _Bounded.apply(x, value, norm)  # type: ignore[no-untyped-call]
    return bounded


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: float, norm: float) -> Tensor:
        ctx.bounds = value, norm
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        value, norm = ctx.bounds
        if value < math.inf:
            gradient = gradient.clamp(-value, value)
        if norm < math.inf:
            length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
            gradient = gradient * torch.where(length > norm, norm / length, torch.ones_like(length))
        return gradient, None, None
