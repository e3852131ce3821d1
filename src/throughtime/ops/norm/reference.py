"""Normalisation of segments of tokens in plain PyTorch.

The kernels are tested against it; other devices, compilers and torch's function transforms run it, and every
derivative beyond the first.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.ops.plain import HALF
from throughtime.ops.pool.reference import sum_over_time_reference
from throughtime.ragged import Layout


def normalize_sequences_reference(
    values: Tensor, layout: Layout, groups: int, eps: float, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    """Return (T, C), see `throughtime.ops.pool.layer.normalize_sequences`."""
    mean, scale = (
        part.index_select(0, layout.sequence_ids)[:, :, None]
        for part in sequence_statistics_reference(values, layout, groups, eps)
    )
    normal: Tensor = ((values.unflatten(1, (groups, -1)) - mean) * scale).flatten(1)
    if weight is not None:
        normal = normal * weight
    return normal if bias is None else normal + bias


def sequence_statistics_reference(
    values: Tensor, layout: Layout, groups: int, eps: float
) -> tuple[Tensor, Tensor]:
    """Return μ and 1 / √(σ² + eps) of each sequence and group of features, (B, groups)."""
    grouped = values.unflatten(1, (groups, -1))
    count = layout.offsets.diff().clamp(min=1).to(values.dtype)[:, None] * grouped.shape[2]
    mean = sum_over_time_reference(grouped.sum(2), layout) / count
    centred = grouped - mean.index_select(0, layout.sequence_ids)[:, :, None]
    variance = sum_over_time_reference(centred.square().sum(2), layout) / count
    return mean, torch.rsqrt(variance + eps)


def batch_norm_reference(
    values: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    fixed: tuple[Tensor, Tensor] | None,
    eps: float,
    *,
    relu: bool,
) -> Tensor:
    """Return (T, C) by the statistics of all tokens, or by the given mean and variance; none are updated."""
    mean, variance = fixed or (None, None)
    y = F.batch_norm(values, mean, variance, weight, bias, training=fixed is None, eps=eps)
    return y.relu() if relu else y


def batch_norm_traced(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,  # noqa: FBT001 - torch's signature
    momentum: float,
    eps: float,
) -> Tensor:
    r"""Return `torch.nn.functional.batch_norm` of (T, \*D), in graphs that do not know T."""
    x = values.float() if values.dtype in HALF else values
    rest = [dim for dim in range(x.dim()) if dim != 1]
    if training:
        enough = x.shape[0] > 1
        torch._check(enough, lambda: "batch normalization in training needs two tokens")  # noqa: SLF001
        variance, mean = torch.var_mean(x, rest, correction=0)
        if running_mean is not None and running_var is not None:
            count = x.numel() // x.shape[1]
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    else:
        mean, variance = running_mean, running_var  # type: ignore[assignment]

    def row(part: Tensor) -> Tensor:
        return part.to(x.dtype).view(-1, *(1,) * (x.dim() - 2))

    y = (x - row(mean)) * (row(variance) + eps).rsqrt()
    y = y if weight is None else y * row(weight)
    y = y if bias is None else y + row(bias)
    return y.to(values.dtype)
