"""The examples of training, validation and test, in memory or in a file, with what identifies them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from throughtime._options import named
from throughtime.data.examples import Examples
from throughtime.data.fingerprint import Fingerprint, sequence_hashes, text_hashes
from throughtime.data.inputs.text_columns import text_column
from throughtime.data.stored_examples import AnyExamples, stored_examples
from throughtime.data.stored_table import StoredTable
from throughtime.data.table import Table

_PARTS = ("training", "validation", "test")


@dataclass(frozen=True, eq=False)
class EncodedPart:
    """The examples of a part, and hashes.

    Parameters
    ----------
    examples : Examples or StoredExamples
        All rows of the part.
    hashes : (n,) uint64
        Hash of each text or sequence, to find those that are in several parts.
    sha256 : str
        Hash of all that was encoded.
    """

    examples: AnyExamples
    hashes: NDArray[np.uint64]
    sha256: str

    def only(self, index: Tensor) -> "EncodedPart":
        """Return the part with the hashes at these indices."""
        return replace(self, hashes=self.hashes[index.numpy()])


def encoded_part(table: Table, encode: Callable[[Table], Examples], texts: Sequence[str] = ()) -> EncodedPart:
    """Return the rows of a table as examples; those of a stored table stay in the file.

    Parameters
    ----------
    table : Table
        The rows.
    encode : callable
        Returns a table in memory as examples.
    texts : sequence of str
        Columns of text, which are compared in place of tokens: encoded, texts that differ in rare words only
        are the same.
    """
    fingerprint, hashes = Fingerprint(), list[NDArray[np.uint64]]()

    def note(rows: Table, examples: Examples) -> None:
        fingerprint.add(examples)
        columns = [text_column(rows, name).to_pylist() for name in texts]
        hashes.append(text_hashes(columns) if texts else sequence_hashes(examples.inputs))

    examples: AnyExamples
    if isinstance(table, StoredTable):
        examples = stored_examples(table, encode, note)
    else:
        examples = encode(table)
        note(table, examples)
    return EncodedPart(examples, np.concatenate(hashes), fingerprint.hexdigest())


def described(
    tables: Sequence[Table],
    examples: Sequence[AnyExamples],
    parts: Sequence[EncodedPart],
    tokenizer: str | None,
) -> dict[str, Any]:
    """Return the sizes of the parts, and a hash of all that training reads."""
    digest = hashlib.sha256((tokenizer or "").encode())
    for part in parts:
        digest.update(part.sha256.encode())
    for part_examples in examples:
        if part_examples.weights is not None:
            digest.update(part_examples.weights.numpy().data)
    return {
        "rows": sum(map(len, tables)),
        **{f"{name}_examples": len(part) for name, part in zip(_PARTS, examples, strict=True)},
        "tokens": sum(int(part.lengths.sum()) for part in examples),
        "sha256": digest.hexdigest(),
    }


def overlaps(parts: Sequence[EncodedPart]) -> tuple[str, ...]:
    """Return a warning for each held-out part with sequences that are also in training."""
    notes = []
    for name, part in zip(_PARTS[1:], parts[1:], strict=True):
        count = int(np.isin(part.hashes, parts[0].hashes).sum())
        if count:
            verb = "has" if count == 1 else "have"
            notes.append(
                f"{count} of {len(part.hashes)} {name} rows {verb} the same sequence as a training row; the "
                f"{name} score may be too high: remove duplicates, or keep them together with "
                f"{named('group')}"
            )
    return tuple(notes)
