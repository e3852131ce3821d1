"""`Table`: rows of any source, as Arrow columns, with the place of each row for messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime.data.columns import shown_names
from throughtime.errors import DataError


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

    def select(self, rows: NDArray[np.int64]) -> "Table":
        """Return these rows, counted from 0, in this order; they keep their numbers."""
        numbers = rows + 1 if self.numbers is None else self.numbers[rows]
        return Table(_taken(self.content, rows), self.name, self.unit, numbers, self.places)


def _taken(content: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """Take rows batch by batch, because Arrow's own ``take`` first concatenates all rows in memory."""
    batches = content.to_batches()
    if len(batches) <= 1 or not len(rows):
        return content.take(rows)
    ends = np.cumsum([batch.num_rows for batch in batches])
    batch_of = np.searchsorted(ends, rows, side="right")
    order = np.argsort(batch_of, kind="stable")
    used, starts = np.unique(batch_of[order], return_index=True)
    parts = [
        batches[batch].take(pa.array(part - (ends[batch] - batches[batch].num_rows)))
        for batch, part in zip(used, np.split(rows[order], starts[1:]), strict=True)
    ]
    return pa.Table.from_batches(parts, content.schema).combine_chunks().take(np.argsort(order))
