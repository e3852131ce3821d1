"""Hashes of examples: one of all that training reads, and one of each sequence to find duplicates."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from throughtime.data.examples import Examples
from throughtime.ragged import Ragged


class Fingerprint:
    """SHA-256 of examples; it does not depend on how they are divided into parts.

    Examples
    --------
    >>> import torch
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
    """Return a hash of the bytes of each sequence, (B,): BLAKE2b of 64 bits.

    Examples
    --------
    >>> import torch
    >>> hashes = sequence_hashes(Ragged.from_lengths(torch.tensor([1, 2, 2, 1, 1, 2]), [2, 2, 2]))
    >>> (hashes == hashes[0]).tolist()
    [True, False, True]
    """
    values = sequences.values.contiguous().numpy()
    content = values.reshape(-1).view(np.uint8).data
    size = values.nbytes // max(1, len(values))
    bounds = (sequences.layout.host_offsets * size).tolist()
    return _hashes(content[start:stop] for start, stop in pairwise(bounds))


def text_hashes(columns: Sequence[Sequence[str]]) -> NDArray[np.uint64]:
    """Return a hash of the texts of each row, (B,).

    Examples
    --------
    >>> hashes = text_hashes([["a", "ab", "a"], ["bc", "c", "bc"]])
    >>> (hashes == hashes[0]).tolist()
    [True, False, True]
    """
    return _hashes(text.encode() for text in map("\0".join, zip(*columns, strict=True)))


def _hashes(contents: Iterable[bytes | memoryview]) -> NDArray[np.uint64]:
    digests = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(digests, np.uint64)
