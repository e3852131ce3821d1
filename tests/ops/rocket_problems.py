"""Random problems of MiniRocket's features, and the plain loops of its papers that solve them, in numpy."""

import math
import random
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime.ops.rocket.kernels import Kernels

Floats = NDArray[np.floating]


def kernels_of(dilations: list[list[int]], channels: int, choose: random.Random) -> Kernels:
    """Random biases, and channels with repetition, for the dilations of each of the R series."""
    rows, slots = len(dilations), len(dilations[0])
    groups, most = 84 * max(len(set(row)) for row in dilations), min(channels, 3)
    read = torch.full((rows, groups, most), -1)
    for row in read.view(-1, most):
        count = choose.randint(1, most)
        row[:count] = torch.tensor([choose.randrange(channels) for _ in range(count)])
    return Kernels(torch.tensor(dilations), torch.randn(rows, 84 * slots), read)


def outputs_by_loops(x: Floats, taps: tuple[int, int, int], dilation: int) -> Floats:
    """The convolution of one channel (L,), tap by tap in the order of the kernel."""
    border = np.zeros(4 * dilation, x.dtype)
    padded = np.concatenate([border, x, border])
    seen = [padded[tap * dilation : tap * dilation + len(x)] for tap in range(9)]
    alpha = seen[4]
    for tap in (0, 1, 2, 3, 5, 6, 7, 8):
        alpha = alpha + seen[tap]
    outputs = -alpha
    for tap in taps:
        outputs = outputs + 3 * seen[tap]
    return outputs


def statistics_by_loops(outputs: Floats, bias: Floats) -> list[float]:
    """PPV, MPV, MIPV and LSPV."""
    positive = (outputs > bias).tolist()
    longest = stretch = 0
    for is_positive in positive:
        stretch = stretch + 1 if is_positive else 0
        longest = max(longest, stretch)
    count = sum(positive)
    if not count:
        return [0.0, 0.0, -1.0, 0.0]
    above = [
        float(output - bias) for output, is_positive in zip(outputs, positive, strict=True) if is_positive
    ]
    numbers = [t for t, is_positive in enumerate(positive) if is_positive]
    proportion = float(np.float32(count) / np.float32(len(outputs)))
    return [proportion, math.fsum(above) / count, sum(numbers) / count, float(longest)]


def features_by_loops(x: Floats, kernels: Kernels) -> Floats:
    """All features of one series (L, C), (R, 4, 84 · S)."""
    features = []
    for row, dilations in enumerate(kernels.dilations.tolist()):
        series = np.diff(x, axis=0) if row else x
        columns = []
        for number, dilation in enumerate(sorted(set(dilations))):
            for k, taps in enumerate(combinations(range(9), 3)):
                read = [c for c in kernels.channels[row, 84 * number + k].tolist() if c >= 0]
                outputs = sum(
                    (outputs_by_loops(series[:, c], taps, dilation) for c in read[1:]),
                    start=outputs_by_loops(series[:, read[0]], taps, dilation),
                )
                if (number + k) % 2 and len(outputs) >= 16 * dilation:
                    outputs = outputs[4 * dilation : -4 * dilation]
                for _ in range(dilations.count(dilation)):
                    bias = kernels.biases[row, len(columns)].numpy()
                    columns.append(statistics_by_loops(outputs, bias))
        features.append(np.array(columns).T)
    return np.array(features)
