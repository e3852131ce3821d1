"""Native dropout against the generator in numpy; see `ladders`."""

import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime import _native

U64 = NDArray[np.uint64]
LOWER, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: list[U64], key: tuple[int, int]) -> list[U64]:
    """Philox4x32-10 as its paper writes it, on arrays."""
    (left, right, *rest), keys = counter, [np.uint64(word) for word in key]
    words = [left, right, *rest]
    for _ in range(10):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (second >> SHIFT) ^ words[1] ^ keys[0],
            second & LOWER,
            (first >> SHIFT) ^ words[3] ^ keys[1],
            first & LOWER,
        ]
        steps = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
        keys = [(word + step) & LOWER for word, step in zip(keys, steps, strict=True)]
    return words


def words(seed: int, first: int, count: int) -> U64:
    """Return the word of each position, by the header of the kernel."""
    position = np.arange(first, first + count, dtype=np.uint64)
    block, place = position // np.uint64(64), position % np.uint64(64)
    counter = block * np.uint64(16) + place % np.uint64(16)
    zeros = np.zeros_like(counter)
    four = philox([counter & LOWER, counter >> SHIFT, zeros, zeros], (seed & 0xFFFFFFFF, seed >> 32))
    return np.asarray(np.choose((place // np.uint64(16)).astype(np.int64), four))


def check(choose: random.Random, count: int) -> None:
    dtype = choose.choice([torch.float32, torch.float64])
    seed, threshold = choose.randrange(2**63), choose.choice([0, 1, choose.randrange(2**32), 2**32 - 1])
    first = choose.choice([0, 1, 63, 64, choose.randrange(1000), 2**36 - 70, 2**40 + 13])
    x = torch.randn(count + 3, dtype=dtype)[3:]  # begins at no cache line
    kept = torch.from_numpy(words(seed, first, count) >= np.uint64(threshold))
    for threads in (1, 2, 3):
        y: Tensor | None = _native.dropout(
            x, seed=seed, threshold=threshold, scale=1.5, first=first, threads=threads, in_order=False
        )
        assert y is not None
        assert torch.equal(y, torch.where(kept, 1.5 * x, 0)), (count, first, threshold, dtype, threads)


def climb(count: int, seed: int) -> int:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    for index in range(count):
        check(choose, choose.randint(2, 300) if index % 10 else 60_001)
    return count
