"""The native dropout under eager autograd. It saves no mask: a backward pass draws it again from the seed."""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops.dropout import native
from throughtime.ops.dropout.reference import dropout_reference
from throughtime.ops.plain import FULL, differentiable, on_plain_cpu


def takes(x: Tensor) -> bool:
    """Tell whether the kernel may have these values."""
    return x.dtype in FULL and on_plain_cpu(x)


def masked(x: Tensor, seed: int, p: float) -> Tensor:
    """Return what `dropout_reference` returns."""
    if not differentiable(x):
        return native.masked(x, seed, p)
    y: Tensor = _Dropout.apply(x, seed, p)  # type: ignore[no-untyped-call]
    return y


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: int, p: float) -> Tensor:
        ctx.seed, ctx.p = seed, p
        return native.masked(x, seed, p)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = gradients
        # The map is linear and its matrix diagonal, so that it is its own gradient. A backward pass may meet
        # what a forward pass did not: many gradients at once, a transform, a mode.
        if on_plain_cpu(dy):
            return masked(dy, ctx.seed, ctx.p), None, None
        return dropout_reference(dy, torch.tensor(ctx.seed, device="cpu"), ctx.p), None, None
