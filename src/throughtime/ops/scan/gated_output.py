"""The output of a linear recurrence through a gate that does not see the state."""

from typing import Any

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.plain import differentiable
from throughtime.ops.scan.autograd import gradients_of, takes
from throughtime.ops.sigmoid import sigmoid


def gated_output(u: Tensor, h: Tensor, skip: Tensor | None = None) -> Tensor:
    r"""Return σ(g) ⊙ h, or the highway σ(g) ⊙ h + (1 − σ(g)) ⊙ s, in one native pass.

    Parameters
    ----------
    u : Tensor
        (T, D), g; or (T, 2D), g and s.
    h : Tensor
        (T, D).
    skip : Tensor, optional
        (T, D), s where u has none.

    Examples
    --------
    >>> import torch
    >>> gated_output(torch.zeros(1, 2), torch.ones(1, 2)), gated_output(torch.zeros(1, 4), torch.ones(1, 2))
    (tensor([[0.5000, 0.5000]]), tensor([[0.5000, 0.5000]]))
    """
    if not takes(u, h, skip):
        return _composition(u, h, skip)
    if not differentiable(u, h, skip):
        return _native_output(u, h, skip)
    y: Tensor = _GatedOutput.apply(u, h, skip)  # type: ignore[no-untyped-call]
    return y


def _native_output(u: Tensor, h: Tensor, skip: Tensor | None) -> Tensor:
    y: Tensor = called(_native.gated_output, (u, h, skip))
    return y


def _composition(u: Tensor, h: Tensor, skip: Tensor | None) -> Tensor:
    g, *given = u.split(h.shape[1], 1)
    s = given[0] if given else skip
    gate = sigmoid(g)
    return gate * h if s is None else s + gate * (h - s)


class _GatedOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, h: Tensor, skip: Tensor | None) -> Tensor:
        ctx.save_for_backward(u, h, skip)
        return _native_output(u, h, skip)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        u, h, skip = ctx.saved_tensors
        if torch.is_grad_enabled() or not takes(*gradients):
            return tuple(gradients_of(lambda *inputs: (_composition(*inputs),), (u, h, skip), gradients))
        results: tuple[Tensor | None, ...] = called(_native.gated_output_backward, (u, h, skip, *gradients))
        return results
