"""Normalisation of every sequence by its own mean and variance."""

import torch
from torch import Tensor

from throughtime.ops.pool import sum_over_time
from throughtime.ragged import Layout


def normalize_sequences(values: Tensor, layout: Layout, groups: int, eps: float) -> Tensor:
    """Return (x − μ) / √(σ² + eps), μ and σ² of each sequence and group of features over all its steps.

    Parameters
    ----------
    values : Tensor
        (T, C).
    layout
        Their offsets.
    groups
        Blocks of C / groups features that share a mean and a variance (the biased one).
    eps
        What is added to the variance: a sequence of one step and one feature per group gives zeros.
    """
    grouped = values.unflatten(1, (groups, -1))
    ids = layout.sequence_ids
    count = layout.offsets.diff().clamp(min=1).to(values.dtype)[:, None] * grouped.shape[2]
    mean = sum_over_time(grouped.sum(2), layout) / count
    centred = grouped - mean.index_select(0, ids)[:, :, None]
    variance = sum_over_time(centred.square().sum(2), layout) / count
    scale = torch.rsqrt(variance + eps).index_select(0, ids)
    normal: Tensor = centred * scale[:, :, None]
    return normal.flatten(1)
