"""Normalisation of products of the input: of each token, or over the tokens of a batch."""

from typing import Literal

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.ops.norm.layer import batch_norm


def normalization_of(
    kind: Literal["batch", "layer"] | None,
    features: int,
    *,
    bias: bool,
    layer: str,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> nn.Module | None:
    """Return a normalisation module of torch.nn for this number of features, or None."""
    if kind is None:
        return None
    if kind == "layer":
        return nn.LayerNorm(features, bias=bias, device=device, dtype=dtype)
    if kind == "batch":
        norm = nn.BatchNorm1d(features, device=device, dtype=dtype)
        if not bias:
            norm.register_parameter("bias", None)
        return norm
    raise ShapeError(f"{layer}: normalization must be 'batch', 'layer' or None, got {kind!r}")


def normalized(tokens: Tensor, norm: nn.Module) -> Tensor:
    """Return tokens (T, features), normalised; statistics of a batch are those of all its tokens."""
    if not isinstance(norm, nn.BatchNorm1d):
        result: Tensor = norm(tokens)
        return result
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    momentum = 0.1 if norm.momentum is None else norm.momentum
    return batch_norm(
        tokens, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, momentum, norm.eps
    )
