"""The reference of dropout: generator and masks in plain PyTorch, differentiable, on any device."""

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_LOWER = 0xFFFFFFFF
_ROUNDS = 10
# Counters of a block, each of which gives four words.
_COUNTERS = 16


def philox_reference(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Return the four words of Philox4x32-10 for each counter.

    Parameters
    ----------
    counter
        Four int64 tensors of one shape, of values below 2³²; word 0 first.
    key
        Two int64 tensors of values below 2³², which broadcast with the counters.

    Returns
    -------
    tuple of Tensor
        Four int64 tensors of values below 2³².

    References
    ----------
    .. [1] J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
       3", SC (2011), section 3.3.

    Examples
    --------
    >>> zero = torch.tensor(0)
    >>> [f"{int(word):08x}" for word in philox_reference((zero, zero, zero, zero), (zero, zero))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # Products of 32 bits each fill 64 bits; as int64 they wrap around, with the same bits.
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (product1 >> 32) & _LOWER ^ c1 ^ k0, product1 & _LOWER
        c2, c3 = (product0 >> 32) & _LOWER ^ c3 ^ k1, product0 & _LOWER
        k0, k1 = k0 + _KEY_STEPS[0] & _LOWER, k1 + _KEY_STEPS[1] & _LOWER
    return c0, c1, c2, c3


def words_reference(seed: Tensor, first: int, count: int) -> Tensor:
    """Return the words of positions first, first + 1, … as `native/kernels/dropout/dropout.h` numbers them.

    Parameters
    ----------
    seed : Tensor
        int64, one number.
    first, count
        The first position, at least 0, and how many.

    Returns
    -------
    Tensor
        (count,) int64, below 2³².
    """
    position = torch.arange(first, first + count, device=seed.device)
    block, place = position // (4 * _COUNTERS), position % (4 * _COUNTERS)
    counter = block * _COUNTERS + place % _COUNTERS
    zeros = torch.zeros_like(counter)
    key = seed & _LOWER, (seed >> 32) & _LOWER
    words = philox_reference((counter & _LOWER, counter >> 32, zeros, zeros), key)
    return torch.stack(words, -1).gather(-1, (place // _COUNTERS).unsqueeze(-1)).squeeze(-1)


def threshold(p: float) -> int:
    """Return the word from which on a position is kept: p · 2³²."""
    return min(round(p * 2**32), _LOWER)


def dropout_reference(x: Tensor, seed: Tensor, p: float) -> Tensor:
    """Return x / (1 − p) where the word of a position is at least p · 2³², else 0.

    Parameters
    ----------
    x : Tensor
        Any shape; positions are counted in row-major order.
    seed : Tensor
        int64, one number.
    p
        Above 0, below 1.
    """
    words = words_reference(seed.to(x.device), 0, x.numel())
    keep = (words >= threshold(p)).view(x.shape)
    return torch.where(keep, x * (1 / (1 - p)), 0)
