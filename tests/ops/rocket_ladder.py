"""Native features of MiniRocket against plain loops; see `ladders`."""

import random

import numpy as np
import torch
from torch import Tensor

from throughtime import _native

from .rocket_problems import features_by_loops, kernels_of


def check(choose: random.Random, longest: int) -> None:
    channels, rows = choose.choice([1, 1, 2, 5]), choose.randint(1, 2)
    slots = choose.randint(1, 3)
    dilations = [sorted(choose.randint(1, 1 + longest // 6) for _ in range(slots)) for _ in range(rows)]
    lengths = [choose.choice([0, 1, choose.randint(0, longest)]) for _ in range(choose.randint(0, 2))]
    lengths.insert(choose.randint(0, len(lengths)), longest)
    kernels = kernels_of(dilations, channels, choose)
    x = torch.randn(sum(lengths) + 1, channels)[1:]  # begins at no cache line
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    features = [features_by_loops(series.numpy(), kernels) for series in x.split(lengths)]
    expected = torch.from_numpy(np.stack(features))
    for threads in (1, 2, 3):
        arguments = {"threads": threads, "in_order": False}
        every: Tensor | None = _native.rocket(x, offsets, *kernels, all_statistics=True, **arguments)
        ppv: Tensor | None = _native.rocket(x, offsets, *kernels, all_statistics=False, **arguments)
        assert every is not None
        assert ppv is not None
        every = every.view(expected.shape)
        where = (longest, channels, dilations, lengths, threads)
        for statistic in (0, 2, 3):
            assert torch.equal(every[:, :, statistic], expected[:, :, statistic].float()), (statistic, where)
        torch.testing.assert_close(every[:, :, 1], expected[:, :, 1].float(), rtol=1e-5, atol=1e-6)
        assert torch.equal(ppv.view_as(every[:, :, 0]), every[:, :, 0]), where


def climb(seed: int) -> int:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    lengths = (*range(1, 20), 31, 32, 33, 63, 64, 65, 127, 128, 129, 150, 260)
    for longest in lengths:
        check(choose, longest)
    return len(lengths)
