"""`StoredExamples`: examples that are encoded from the rows of a file when they are needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from throughtime.data.examples import Examples
from throughtime.data.table import Table
from throughtime.errors import ShapeError
from throughtime.ragged import Ragged

_TOKENS_PER_CHUNK = 4_000_000


@dataclass(frozen=True, eq=False)
class StoredExamples:
    r"""Examples of the rows of a table; only a batch of them is in memory at a time.

    Use `stored_examples` to construct them.

    Parameters
    ----------
    table : Table
        The rows, in a file.
    encode : callable
        Returns a table in memory as `Examples`.
    lengths : (B,) Tensor
        Number of tokens or steps of each sequence.
    target_rows : Tensor or None
        (B, \\*): target of each sequence; None if targets are of steps, which are encoded with the sequences.
    rows, ordinals : Tensor, optional
        (B,) int64: the row that a sequence is a window of, as for `Examples`, and the number of the window in
        this row, from 0. Without windows, each sequence is a row.
    weights : Tensor, optional
        (B,): weight of each sequence in the loss.
    """

    table: Table
    encode: Callable[[Table], Examples]
    lengths: Tensor
    target_rows: Tensor | None
    rows: Tensor | None = None
    ordinals: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def targets(self) -> Tensor | Ragged:
        """Targets of all examples; those of steps are encoded again, and must fit into memory."""
        if self.target_rows is not None:
            return self.target_rows
        return Ragged.cat([cast("Ragged", chunk.targets) for chunk in self.chunks()])

    @property
    def labels(self) -> Tensor:
        """The targets as a tensor with one row for each sequence.

        Raises
        ------
        ShapeError
            If there is a target for each step.
        """
        if self.target_rows is None:
            raise ShapeError("these examples have a target for each step; use targets")
        return self.target_rows

    def select(self, index: Tensor) -> Examples:
        """Return the examples at these indices, (n,) int64, in memory."""
        weights = None if self.weights is None else self.weights[index]
        if self.rows is None or self.ordinals is None:
            return replace(self._encoded(index), weights=weights)
        rows = self.rows[index]
        windows = self._windows(rows, self.ordinals[index])
        return replace(windows, rows=rows, weights=weights)

    def _encoded(self, rows: Tensor) -> Examples:
        return self.encode(self.table.select(rows.numpy()).loaded())

    def _windows(self, rows: Tensor, ordinals: Tensor) -> Examples:
        used, place = rows.unique(return_inverse=True)
        windows = self._encoded(used)
        first = torch.searchsorted(cast("Tensor", windows.rows), torch.arange(len(used)))
        return windows.select(first[place] + ordinals)

    def subset(self, index: Tensor) -> "StoredExamples":
        """Return the examples at these indices, (n,) int64, without loading them."""
        lengths, targets, rows, ordinals, weights = (
            None if part is None else part[index]
            for part in (self.lengths, self.target_rows, self.rows, self.ordinals, self.weights)
        )
        table = self.table.select(index.numpy()) if rows is None else self.table
        return StoredExamples(table, self.encode, cast("Tensor", lengths), targets, rows, ordinals, weights)

    def chunks(self) -> Iterator[Examples]:
        """Yield all examples in parts that fit into memory."""
        ends = np.cumsum(self.lengths.numpy())
        breaks = np.flatnonzero(np.diff(ends // _TOKENS_PER_CHUNK)) + 1
        for index in np.split(np.arange(len(self)), breaks):
            yield self.select(torch.from_numpy(index))

    def require_finite(self, name: str) -> None:
        """Do nothing, because values are checked where rows are encoded."""


AnyExamples = Examples | StoredExamples
"""Examples in memory or in a file."""


def stored_examples(
    table: Table, encode: Callable[[Table], Examples], note: Callable[[Table, Examples], None]
) -> StoredExamples:
    """Return the examples of a table in a file, after encoding all rows once, in parts.

    Parameters
    ----------
    table : Table
        The rows.
    encode : callable
        Returns a table in memory as `Examples`; must not depend on how rows are divided into tables.
    note : callable
        Called with the rows and the examples of each part.

    Raises
    ------
    DataError
        If a row cannot be encoded.

    Examples
    --------
    >>> import pyarrow as pa
    >>> def encode(table):
    ...     lists = table.column("x").to_pylist()
    ...     return Examples(Ragged.from_list([torch.tensor(x) for x in lists]), torch.zeros(len(lists)))
    >>> table = Table(pa.table({"x": [[1, 2], [3]]}), "a.arrow")
    >>> examples = stored_examples(table, encode, lambda rows, examples: None)
    >>> examples.lengths.tolist(), examples.select(torch.tensor([1])).inputs.values.tolist()
    ([2, 1], [3])
    """
    lengths: list[Tensor] = []
    targets: list[Tensor] = []
    rows: list[Tensor] = []
    before = 0
    for part in table.chunks():
        examples = encode(part)
        if examples.rows is not None:
            rows.append(examples.rows + before)
            examples = replace(examples, rows=rows[-1])
        note(part, examples)
        lengths.append(examples.lengths)
        if isinstance(examples.targets, Tensor):
            targets.append(examples.targets)
        before += len(part)
    row_of_window = torch.cat(rows) if rows else None
    return StoredExamples(
        table,
        encode,
        torch.cat(lengths),
        torch.cat(targets) if targets else None,
        row_of_window,
        None if row_of_window is None else _ordinals(row_of_window),
    )


def _ordinals(rows: Tensor) -> Tensor:
    """Return the number of each window in its row, from 0."""
    _, counts = rows.unique_consecutive(return_counts=True)
    first = counts.cumsum(0) - counts
    ordinals: Tensor = torch.arange(len(rows)) - first.repeat_interleave(counts)
    return ordinals
