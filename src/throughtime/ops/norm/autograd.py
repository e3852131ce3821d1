"""The native normalisation under eager autograd, and which values may take it."""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops.norm import native
from throughtime.ops.norm.gradients import Composition, input_gradients
from throughtime.ops.norm.native import Norm
from throughtime.ops.plain import FULL, differentiable, on_plain_cpu, undisturbed, watched


def takes(values: Tensor, *rows: Tensor | None) -> bool:
    """Tell whether the kernels may have these values (T, C), and parameters and statistics (C,)."""
    if values.dim() != 2 or values.dtype not in FULL or not on_plain_cpu(values) or watched(*rows):
        return False
    features = values.shape[1]
    for row in rows:
        if row is None:
            continue
        if row.dtype != values.dtype or not row.is_cpu or row.shape != (features,):
            return False
    return True


def quickly(values: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm) -> Tensor | None:
    """Return (T, C) if native code alone has a part in the call, else None; it looks at shapes itself."""
    return native.forward_if_plain(values, weight, bias, norm) if undisturbed(values, weight, bias) else None


def normalize(
    values: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm, composition: Composition
) -> Tensor:
    """Return (T, C); derivatives beyond the first are those of the composition."""
    if not differentiable(values, weight, bias):
        return native.forward(values, weight, bias, norm)
    y: Tensor = _Normalize.apply(values, weight, bias, norm, composition)  # type: ignore[no-untyped-call]
    return y


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        norm: Norm,
        composition: Composition,
    ) -> Tensor:
        y, mean, scale = native.saved_forward(x, weight, bias, norm)
        ctx.norm, ctx.composition = norm, composition
        ctx.save_for_backward(x, weight, bias, mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = gradients
        x, weight, bias, mean, scale = ctx.saved_tensors
        needs = ctx.needs_input_grad[:3]
        # With gradients enabled somebody will differentiate the result, too.
        if torch.is_grad_enabled() or not on_plain_cpu(dy):
            input_grads = input_gradients(ctx.composition, dy, (x, weight, bias), needs)
        else:
            input_grads = native.backward(dy, x, weight, bias, (mean, scale), ctx.norm, needs)
        return (*input_grads, None, None)
