"""The native normalisation: tensors in, tensors out.

Everything that crosses is on the CPU, and float32 or float64. Native code looks at shapes and offsets itself.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called


class Running(NamedTuple):
    """Statistics (C,) that a pass over one segment moves: m ← (1 − momentum) m + momentum · new."""

    momentum: float
    mean: Tensor
    variance: Tensor


class Fixed(NamedTuple):
    """Statistics (C,) that are given: nothing is computed from the values."""

    mean: Tensor
    variance: Tensor


class Norm(NamedTuple):
    """What a normalisation is but for its values: see `native/kernels/norm/norm.h`.

    Statistics are those of each segment's tokens (``offsets``, int64; None where all tokens are one segment)
    and of each of so many ``groups`` of features.
    """

    offsets: Tensor | None
    groups: int
    eps: float
    relu: bool = False
    running: Running | None = None
    fixed: Fixed | None = None


def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm) -> Tensor:
    """Return (T, C)."""
    tensors, options = _forward_arguments(x, weight, bias, norm, save=False)
    y: Tensor = called(_native.norm_forward, tensors, **options)
    return y


def forward_if_plain(x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm) -> Tensor | None:
    """Return the same, or None where a tensor is unusual or does not fit."""
    running, fixed = norm.running, norm.fixed
    mean, variance = fixed or ((None, None) if running is None else running[1:])
    y = _native.norm_forward(
        x,
        weight,
        bias,
        norm.offsets,
        mean,
        variance,
        groups=norm.groups,
        eps=norm.eps,
        relu=norm.relu,
        fixed=fixed is not None,
        momentum=0.0 if running is None else running.momentum,
        save=False,
        threads=torch.get_num_threads(),
        in_order=False,
    )
    return cast("Tensor | None", y)


def saved_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (T, C), and μ and 1 / √(σ² + eps), (S, groups), which the gradient needs."""
    tensors, options = _forward_arguments(x, weight, bias, norm, save=True)
    made: tuple[Tensor, Tensor, Tensor] = called(_native.norm_forward, tensors, **options)
    return made


def backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: tuple[Tensor, Tensor],
    norm: Norm,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of x, weight and bias, those that are needed."""
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = called(
        _native.norm_backward,
        (dy, x, weight, bias, *statistics, norm.offsets),
        groups=norm.groups,
        eps=norm.eps,
        relu=norm.relu,
        fixed=norm.fixed is not None,
        x_needed=needs[0],
        weight_needed=needs[1],
        bias_needed=needs[2],
    )
    return gradients


def _forward_arguments(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm, *, save: bool
) -> tuple[tuple[Tensor | None, ...], dict[str, Any]]:
    running, fixed = norm.running, norm.fixed
    mean, variance = fixed or ((None, None) if running is None else running[1:])
    options = {
        "groups": norm.groups,
        "eps": norm.eps,
        "relu": norm.relu,
        "fixed": fixed is not None,
        "momentum": 0.0 if running is None else running.momentum,
        "save": save,
    }
    return (x, weight, bias, norm.offsets, mean, variance), options
