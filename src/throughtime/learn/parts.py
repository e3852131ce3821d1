"""`Part`: the examples of training, validation or test, in memory or in a file, with what identifies them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data.examples import Examples
from throughtime.data.fingerprint import Fingerprint, sequence_hashes
from throughtime.data.stored_examples import StoredExamples, stored_examples
from throughtime.data.stored_table import StoredTable
from throughtime.data.table import Table

PARTS = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class Part:
    """The examples of a part.

    Parameters
    ----------
    examples : Examples or StoredExamples
        The examples.
    hashes : (B,) uint64
        Hash of each sequence.
    sha256 : str
        Hash of all encoded rows.
    """

    examples: Examples | StoredExamples
    hashes: NDArray[np.uint64]
    sha256: str

    def subset(self, index: Tensor) -> "Part":
        """Return the part with the examples at these indices only."""
        return replace(self, examples=self.examples.subset(index), hashes=self.hashes[index.numpy()])


def encoded_part(table: Table, encode: Callable[[Table], Examples]) -> Part:
    """Return the rows of a table as examples; those of a stored table stay in the file."""
    fingerprint, hashes = Fingerprint(), list[NDArray[np.uint64]]()

    def note(examples: Examples) -> None:
        fingerprint.add(examples)
        hashes.append(sequence_hashes(examples.inputs))

    if isinstance(table, StoredTable):
        stored = stored_examples(table, encode, note)
        return Part(stored, np.concatenate(hashes), fingerprint.hexdigest())
    examples = encode(table)
    note(examples)
    return Part(examples, hashes[0], fingerprint.hexdigest())


def described(rows: int, parts: Sequence[Part], tokenizer: str | None) -> dict[str, Any]:
    """Return the sizes of the parts, and a hash of all that training reads."""
    digest = hashlib.sha256((tokenizer or "").encode())
    for part in parts:
        digest.update(part.sha256.encode())
        if part.examples.weights is not None:
            digest.update(part.examples.weights.numpy().data)
    return {
        "rows": rows,
        **{f"{name}_examples": len(part.examples) for name, part in zip(PARTS, parts, strict=True)},
        "tokens": sum(int(part.examples.lengths.sum()) for part in parts),
        "sha256": digest.hexdigest(),
    }


def overlaps(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return a warning for each held-out part with sequences that are also in training."""
    notes = []
    for name, part in zip(PARTS[1:], parts[1:], strict=True):
        count = int(np.isin(part.hashes, parts[0].hashes).sum())
        if count:
            notes.append(
                f"{count} of {len(part.hashes)} {name} rows have the same sequence as a training row; the "
                f"{name} score may be too high: remove duplicates, or keep them together with --group"
            )
    return tuple(notes)
