"""Dropout masks of sequences: each is a function of the sequence's seed and the step's number alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.dropout.reference import philox_reference, threshold
from throughtime.ops.plain import FULL

_LOWER = 0xFFFFFFFF
# Word 3 of a counter. That of `dropout` is 0, so numbers of seeds and of masks are different ones.
_OF_SEEDS = 1


def sequence_masks(
    seeds: Tensor, lengths: Sequence[int], first: Sequence[int], p: float, size: int, dtype: torch.dtype
) -> Tensor:
    """Return masks with rows of sequences end to end: 0 with probability p, else 1 / (1 − p).

    Entry j of step t is that of position t · size + j in `dropout` with the seed of the sequence.

    Parameters
    ----------
    seeds : Tensor
        (B,) int64 in host memory.
    lengths, first
        (B,): how many steps, and the number of the first one.
    p
        From 0 to below 1.
    size
        Entries of a row.
    dtype
        Of the result.

    Returns
    -------
    Tensor
        (Σ lengths, size) in host memory.
    """
    if not p:
        return torch.ones(sum(lengths), size, dtype=dtype, device="cpu")
    ones = torch.ones(
        max(lengths, default=0), size, dtype=dtype if dtype in FULL else torch.float32, device="cpu"
    )
    options = {"threshold": threshold(p), "scale": 1 / (1 - p)}
    masks = [
        called(_native.dropout, (ones[:length],), seed=seed, first=number * size, **options)
        for seed, length, number in zip(seeds.tolist(), lengths, first, strict=True)
        if length
    ]
    return torch.cat([ones[:0], *masks]).to(dtype)


def branched_seeds(seeds: Tensor, number: int) -> Tensor:
    """Return other seeds (B,), from 0 to below 2⁶³: words of Philox with the seed as key, and this counter.

    Parameters
    ----------
    seeds : Tensor
        (B,) int64.
    number
        From 0 to below 2³²; another number gives independent seeds.
    """
    zeros = torch.zeros_like(seeds)
    counter = (zeros + number, zeros, zeros, zeros + _OF_SEEDS)
    low, high, _, _ = philox_reference(counter, (seeds & _LOWER, (seeds >> 32) & _LOWER))
    return ((high << 32) | low) & (2**63 - 1)
