"""The logistic function with bits that do not depend on where in a tensor a number is.

Torch computes whole vectors in one way and what is left of a thread's part of a tensor in another, so its
result for a number depends on what else is in the tensor. `torch.exp` and division do not have that.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops.plain import FULL, on_plain_cpu


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(−x)); float32 and float64 on a CPU have bits that depend on x alone.

    Examples
    --------
    >>> import torch
    >>> x = torch.linspace(-9, 9, 1001)
    >>> torch.equal(sigmoid(x)[7:8], sigmoid(x[7:8]))
    True
    """
    if x.dtype not in FULL or not on_plain_cpu(x):
        return torch.sigmoid(x)
    y: Tensor = _Sigmoid.apply(x)  # type: ignore[no-untyped-call]
    return y


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        small = x.abs().neg_().exp_()  # at most 1: nothing overflows
        y = torch.where(x < 0, small, 1).div_(small.add_(1))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        dx: Tensor = gradients[0] * (y * (1 - y))
        return dx
