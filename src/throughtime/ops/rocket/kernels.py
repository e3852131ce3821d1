"""`Kernels`: the dilations, biases and channels of MiniRocket's 84 convolution kernels."""

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

TAPS = 9
"""Weights of a kernel."""
KERNELS: tuple[tuple[int, int, int], ...] = tuple(combinations(range(TAPS), 3))
"""The taps at which each kernel's weight is 2; at the other six it is −1."""


class Kernels(NamedTuple):
    """What is learned of training series: (R, …) for R = 1, the series, or 2, also their first differences.

    Parameters
    ----------
    dilations : Tensor
        (R, S) int64, of the S biases of each kernel; at least 1, in ascending order.
    biases : Tensor
        (R, 84 · S), floating-point: by dilation, then by kernel, then by their order in ``dilations``.
    channels : Tensor
        (R, 84 · G, M) int64: by dilation, then by kernel, the channels that are summed, then −1. G is at
        least the number of different dilations.
    """

    dilations: Tensor
    biases: Tensor
    channels: Tensor

    @property
    def features(self) -> int:
        """Features of each statistic of the R series."""
        return int(self.biases.shape[0] * self.biases.shape[1])


class DilatedKernels(NamedTuple):
    """The 84 kernels with one dilation."""

    number: int
    """How many smaller dilations there are: the outputs of every second kernel are those without zeros."""
    dilation: int
    biases: Tensor
    """(84, n)"""
    channels: Tensor
    """(84, M), −1 behind the last."""


def by_dilation(dilations: Tensor, biases: Tensor, channels: Tensor) -> list[DilatedKernels]:
    """Return the kernels of one of the R series by dilation."""
    distinct, counts = torch.unique_consecutive(dilations, return_counts=True)
    parts = biases.split([len(KERNELS) * count for count in counts.tolist()])
    rows = channels.split(len(KERNELS))
    return [
        DilatedKernels(number, dilation, part.view(len(KERNELS), -1), rows[number])
        for number, (dilation, part) in enumerate(zip(distinct.tolist(), parts, strict=True))
    ]
