"""`Table`: rows of any source, as Arrow columns, with the place of each row for messages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime.data._unpack import plain_table, plain_type
from throughtime.data.columns import shown_names
from throughtime.errors import DataError

CHUNK_ROWS = 65536
"""Maximum number of rows of a part of a table that is processed at once."""


@dataclass(frozen=True)
class Table:
    """Rows with named columns.

    Parameters
    ----------
    content : pyarrow.Table
        The columns. A text is a string, a sequence of tokens a list of strings or integers, a univariate
        series a list of numbers, and a multivariate one a list (T) of lists (C) of numbers.
    name : str
        What the rows are from, such as the name of the file.
    unit : str
        What a row is called in messages.
    numbers : (n,) int64, optional
        Number of each row as messages show it; by default from 1.
    places : sequence of str, optional
        Place of each row, where it is not ``"name: unit number"``, such as the path of its file.

    Examples
    --------
    >>> table = Table(pa.table({"text": ["to be", "or not"], "label": [1, 2]}), "plays.csv")
    >>> len(table), table.names, table.place(1), table.column("label").to_pylist()
    (2, ('text', 'label'), 'plays.csv: row 2', [1, 2])
    >>> table.select(np.array([1])).place(0)
    'plays.csv: row 2'
    """

    content: pa.Table
    name: str
    unit: str = "row"
    numbers: NDArray[np.int64] | None = field(default=None, repr=False)
    places: Sequence[str] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        rows: int = self.content.num_rows
        return rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.content.column_names)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column.

        Raises
        ------
        DataError
            If there is none, or several, of this name; the message lists those that exist.
        """
        count = self.names.count(name)
        if count == 1:
            return self.content.column(name)
        if count:
            raise DataError(f"{self.name} has {count} columns named {name!r}; rename all but one")
        raise DataError(f"{self.name} has no column {name!r}; its columns are {shown_names(self.names)}")

    def place(self, row: int) -> str:
        """Return the place of a row, counted from 0, for messages."""
        number = row if self.numbers is None else int(self.numbers[row]) - 1
        if self.places is not None:
            return self.places[number]
        return f"{self.name}: {self.unit} {number + 1}"

    def select(self, rows: NDArray[np.int64]) -> Self:
        """Return these rows, counted from 0, in this order; they keep their numbers."""
        numbers = rows + 1 if self.numbers is None else self.numbers[rows]
        content = Batches.of(self.content).take(rows) if len(rows) else self.content.slice(0, 0)
        return replace(self, content=content, numbers=numbers)

    def with_columns(self, names: Sequence[str]) -> Self:
        """Return the table with these columns only.

        Raises
        ------
        DataError
            As `column`.
        """
        for name in names:
            self.column(name)
        return replace(self, content=self.content.select(list(names)))

    def loaded(self) -> "Table":
        """Return the table in memory."""
        return self

    def chunks(self) -> Iterator["Table"]:
        """Yield all rows in parts of a limited number, in memory; without rows, one empty part."""
        for start in range(0, max(1, len(self)), CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, len(self))
            numbers = np.arange(start, stop) + 1 if self.numbers is None else self.numbers[start:stop]
            yield replace(self, content=self.content.slice(start, stop - start), numbers=numbers)


@dataclass(frozen=True, eq=False)
class Batches:
    """The record batches of an Arrow table, to take rows from them.

    Arrow's own ``take`` of a table first concatenates all rows in memory.

    Parameters
    ----------
    content : pyarrow.Table
        The table.
    parts : sequence of pyarrow.RecordBatch
        The batches.
    ends : (n,) int64
        Number of rows up to the end of each batch.

    Examples
    --------
    >>> content = pa.concat_tables([pa.table({"x": [1, 2]}), pa.table({"x": [3]})])
    >>> Batches.of(content).take(np.array([2, 0])).to_pydict()
    {'x': [3, 1]}
    """

    content: pa.Table
    parts: Sequence[pa.RecordBatch]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, content: pa.Table) -> Self:
        """Return the batches of a table; nothing is copied."""
        parts = content.to_batches()
        return cls(content, parts, np.cumsum([len(part) for part in parts], dtype=np.int64))

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return copies of these rows, counted from 0, in this order."""
        batch_of = np.searchsorted(self.ends, rows, side="right")
        order = np.argsort(batch_of, kind="stable")
        used, starts = np.unique(batch_of[order], return_index=True)
        taken = [
            self._batch(batch, part)
            for batch, part in zip(used, np.split(rows[order], starts[1:]), strict=True)
        ]
        table = pa.Table.from_batches(taken, self.content.schema)
        # Parts with different dictionaries inside of lists cannot be combined.
        table = plain_table(table) if self._encoded else table
        return table if (np.diff(batch_of) >= 0).all() else table.combine_chunks().take(np.argsort(order))

    def _batch(self, batch: int, rows: NDArray[np.int64]) -> pa.RecordBatch:
        part = self.parts[batch]
        return part.take(pa.array(rows - (self.ends[batch] - len(part))))

    @cached_property
    def _encoded(self) -> bool:
        return any(plain_type(kind) != kind for kind in self.content.schema.types)
