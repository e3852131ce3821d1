"""Helpers of the ladders of tests/ops, which run in one process for each instruction set."""

import torch

from throughtime.ragged import Layout


def layout_of(lengths: list[int]) -> Layout:
    return Layout.from_lengths(torch.tensor(lengths, dtype=torch.int64), torch.device("cpu"))
