"""Hashes of examples: one of all that training reads, and one of each sequence to find duplicates."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime.data.examples import Examples
from throughtime.ragged import Ragged


class Fingerprint:
    """SHA-256 of examples; it does not depend on how they are divided into parts.

    Examples
    --------
    >>> examples = Examples(Ragged.from_lengths(torch.arange(3), [2, 1]), torch.tensor([0, 1]))
    >>> whole, parts = Fingerprint(), Fingerprint()
    >>> whole.add(examples)
    >>> for row in range(2):
    ...     parts.add(examples.select(torch.tensor([row])))
    >>> whole.hexdigest() == parts.hexdigest()
    True
    """

    def __init__(self) -> None:
        self._hashes = {name: hashlib.sha256() for name in ("steps", "lengths", "targets", "extra", "rows")}

    def add(self, examples: Examples) -> None:
        """Add the examples of the next part."""
        targets = examples.targets
        tensors = {
            "steps": examples.inputs.values,
            "lengths": examples.lengths,
            "targets": targets.values if isinstance(targets, Ragged) else targets,
            "extra": examples.extra,
            "rows": examples.rows,
        }
        for name, tensor in tensors.items():
            if tensor is not None:
                self._hashes[name].update(tensor.contiguous().numpy().data)

    def hexdigest(self) -> str:
        """Return the hash of all parts so far."""
        return hashlib.sha256(
            "".join(part.hexdigest() for part in self._hashes.values()).encode()
        ).hexdigest()


def sequence_hashes(sequences: Ragged) -> NDArray[np.uint64]:
    r"""Return a hash of each sequence, (B,).

    .. math:: h = m(n) + \sum_{i<n} m(x_i + m(i)) \mod 2^{64}

    for n numbers :math:`x_i`, whose bits are taken as integers, where m is the finalizer of SplitMix64.

    Parameters
    ----------
    sequences : Ragged
        (T,) int64 or (T, C) float32.

    References
    ----------
    Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014, figure 16.

    Examples
    --------
    >>> hashes = sequence_hashes(Ragged.from_lengths(torch.tensor([1, 2, 2, 1, 1, 2]), [2, 2, 2]))
    >>> (hashes == hashes[0]).tolist()
    [True, False, True]
    """
    values = sequences.values.contiguous()
    bits = values.view(torch.int32) if values.dtype == torch.float32 else values
    numbers = bits.numpy().reshape(len(values), -1).astype(np.uint64)
    lengths = sequences.lengths.numpy()
    ends = np.cumsum(lengths)
    steps = np.arange(len(numbers)) - np.repeat(ends - lengths, lengths)
    channels = numbers.shape[1]
    places = steps[:, None].astype(np.uint64) * np.uint64(channels) + np.arange(channels, dtype=np.uint64)
    sums = np.zeros(len(numbers) + 1, dtype=np.uint64)
    np.cumsum(_mixed(numbers + _mixed(places)).sum(axis=1, dtype=np.uint64), out=sums[1:])
    hashes: NDArray[np.uint64] = sums[ends] - sums[ends - lengths] + _mixed(lengths.astype(np.uint64))
    return hashes


def text_hashes(columns: Sequence[Sequence[str]]) -> NDArray[np.uint64]:
    """Return a hash of the texts of each row, (B,).

    Examples
    --------
    >>> hashes = text_hashes([["a", "ab", "a"], ["bc", "c", "bc"]])
    >>> (hashes == hashes[0]).tolist()
    [True, False, True]
    """
    texts = map("\0".join, zip(*columns, strict=True))
    return np.frombuffer(
        b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts), np.uint64
    )


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the outputs of SplitMix64 for these states."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
