"""The reference of MiniRocket's features, in plain PyTorch: any floating-point dtype, any device."""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ops.pool.reference import sum_over_time_reference
from throughtime.ops.rocket.kernels import KERNELS, TAPS, DilatedKernels, Kernels, by_dilation
from throughtime.ragged import Layout


def rocket_reference(values: Tensor, layout: Layout, kernels: Kernels, *, all_statistics: bool) -> Tensor:
    """Return (B, F), see `throughtime.ops.rocket.layer.rocket`."""
    parts = []
    for row, of_row in enumerate(zip(*kernels, strict=True)):
        series, lay = differences(values, layout) if row else (values, layout)
        features = [_features(series, lay, part, all_statistics) for part in by_dilation(*of_row)]
        parts.append(torch.cat(features, 2).flatten(1))
    return torch.cat(parts, 1).to(values.dtype)


def differences(values: Tensor, layout: Layout) -> tuple[Tensor, Layout]:
    """Return x[t + 1] − x[t], and the layout of sequences one step shorter; an empty one stays empty."""
    shorter = Layout.from_lengths((layout.lengths - 1).clamp(min=0), values.device)
    rows = layout.offsets[:-1].index_select(0, shorter.sequence_ids) + shorter.positions
    return values.index_select(0, rows + 1) - values.index_select(0, rows), shorter


def outputs_reference(values: Tensor, layout: Layout, kernels: DilatedKernels, numbers: Tensor) -> Tensor:
    """Return outputs (T, N) of kernels, with zeros beyond the ends of each sequence.

    Parameters
    ----------
    values, layout
        Series (T, C).
    kernels
        Those of one dilation.
    numbers : Tensor
        int64, which kernels: (1, N) for all steps, or (T, N).
    """
    here = torch.arange(len(values), device=values.device)[:, None]
    position, lengths = layout.positions[:, None], _lengths(layout)[:, None]

    def at(tap: Tensor | int, channel: Tensor) -> Tensor:
        steps = (tap - TAPS // 2) * kernels.dilation
        inside = (position + steps >= 0) & (position + steps < lengths)
        return values[torch.where(inside, here + steps, 0), channel].masked_fill(~inside, 0)

    taps = torch.tensor(KERNELS, device=values.device)[numbers].unbind(-1)
    total = values.new_zeros(len(values), numbers.shape[1])
    for channel in kernels.channels[numbers].unbind(-1):
        read = channel.clamp(min=0)
        alpha = at(TAPS // 2, read)
        for tap in (*range(TAPS // 2), *range(TAPS // 2 + 1, TAPS)):
            alpha = alpha + at(tap, read)
        output = -alpha
        for tap in taps:
            output = output + 3 * at(tap, read)
        total = total + output.masked_fill(channel < 0, 0)
    return total


def _lengths(layout: Layout) -> Tensor:
    """Return the length (T,) of each step's sequence."""
    return layout.offsets.diff().index_select(0, layout.sequence_ids)


class _Positive(NamedTuple):
    """Which outputs (T, 84) are greater than a bias, and how many (B, 84) those are."""

    mask: Tensor
    number: Tensor


def _features(values: Tensor, layout: Layout, kernels: DilatedKernels, all_statistics: bool) -> Tensor:  # noqa: FBT001
    """Return the features (B, statistics, 84 · n) of one dilation."""
    every = torch.arange(len(KERNELS), device=values.device)
    outputs = outputs_reference(values, layout, kernels, every[None])
    border, inner = TAPS // 2 * kernels.dilation, (every + kernels.number) % 2 == 1
    lengths = layout.offsets.diff()[:, None]
    borders = torch.where(inner & (lengths >= 4 * border), border, 0)
    sizes = lengths - 2 * borders
    first = borders.index_select(0, layout.sequence_ids)
    numbers = layout.positions[:, None] - first
    counted = (numbers >= 0) & (numbers < sizes.index_select(0, layout.sequence_ids))
    columns = []
    for bias in kernels.biases.T:
        mask = (outputs > bias) & counted
        positive = _Positive(mask, sum_over_time_reference(mask.double(), layout))
        statistics = [positive.number.float() / sizes.clamp(min=1).float()]
        if all_statistics:
            above = torch.where(mask, outputs - bias, 0)
            places = torch.where(mask, numbers, 0)
            statistics += [_mean(above, positive, layout, 0), _mean(places, positive, layout, -1)]
            statistics += [_longest(mask, layout)]
        columns.append(torch.stack([statistic.double() for statistic in statistics], 1))
    return torch.stack(columns, 3).flatten(2)


def _mean(parts: Tensor, positive: _Positive, layout: Layout, otherwise: float) -> Tensor:
    mean = sum_over_time_reference(parts.double(), layout) / positive.number.clamp(min=1)
    return torch.where(positive.number > 0, mean, otherwise)


def _longest(mask: Tensor, layout: Layout) -> Tensor:
    """Return the length (B, 84) of the longest stretch of each sequence."""
    if not len(mask):
        return mask.new_zeros(layout.num_sequences, mask.shape[1], dtype=torch.float64)
    here = torch.arange(len(mask), device=mask.device)[:, None]
    start = here - layout.positions[:, None]
    before = torch.where(mask, start - 1, here).cummax(0).values
    index = layout.sequence_ids[:, None].expand_as(mask)
    zeros = torch.zeros(layout.num_sequences, mask.shape[1], dtype=torch.int64, device=mask.device)
    return zeros.scatter_reduce(0, index, here - before, "amax").double()
