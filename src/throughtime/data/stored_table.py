"""`StoredTable`: rows of a memory-mapped file, which may be larger than memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime.data.table import CHUNK_ROWS, Batches, Table

_CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class StoredTable(Table):
    """A table whose content stays in a file until rows are loaded.

    Parameters
    ----------
    content, name, unit, numbers, places
        As for `Table`; ``content`` has all rows of the file, and ``numbers`` are those of the selected rows.

    Examples
    --------
    >>> table = StoredTable.of(Table(pa.table({"text": ["to be", "or not"], "label": [1, 2]}), "plays.arrow"))
    >>> last = table.select(np.array([1]))
    >>> len(last), last.place(0), last.column("label").to_pylist(), last.loaded().content.to_pylist()
    (1, 'plays.arrow: row 2', [2], [{'text': 'or not', 'label': 2}])
    """

    _batches: Batches | None = field(default=None, kw_only=True, repr=False, compare=False)

    @classmethod
    def of(cls, table: Table) -> Self:
        """Return a table with all rows of a file."""
        return cls(table.content, table.name, table.unit, _batches=Batches.of(table.content))

    def __len__(self) -> int:
        return super().__len__() if self.numbers is None else len(self.numbers)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column: in the file if it is of all rows, or else in memory.

        Raises
        ------
        DataError
            As `Table.column`.
        """
        column = super().column(name)
        if self.numbers is None:
            return column
        return Batches.of(pa.table({name: column})).take(self.numbers - 1).column(0)

    def select(self, rows: NDArray[np.int64]) -> Self:
        """Return these rows, which stay in the file."""
        numbers = rows + 1 if self.numbers is None else self.numbers[rows]
        return replace(self, numbers=numbers, _batches=self._of_file)

    def with_columns(self, names: Sequence[str]) -> Self:
        """Return the table with these columns only.

        Raises
        ------
        DataError
            As `Table.column`.
        """
        for name in names:
            super().column(name)
        content = self.content.select(list(names))
        return replace(self, content=content, _batches=Batches.of(content))

    def loaded(self) -> Table:
        """Return copies of all rows in memory."""
        numbers = np.arange(len(self)) + 1 if self.numbers is None else self.numbers
        content = self._of_file.take(numbers - 1) if len(numbers) else self.content.slice(0, 0)
        return Table(content, self.name, self.unit, numbers, self.places)

    def chunks(self) -> Iterator[Table]:
        """Yield all rows in parts of a limited size, in memory; without rows, one empty part."""
        for start in range(0, max(1, len(self)), self._rows_per_chunk):
            yield self.select(np.arange(start, min(start + self._rows_per_chunk, len(self)))).loaded()

    @property
    def _of_file(self) -> Batches:
        """The batches of the content, which selections share."""
        if self._batches is not None and self._batches.content is self.content:
            return self._batches
        return Batches.of(self.content)

    @cached_property
    def _rows_per_chunk(self) -> int:
        bytes_per_row = self.content.nbytes / max(1, self.content.num_rows)
        return int(min(CHUNK_ROWS, max(1.0, _CHUNK_BYTES / max(1.0, bytes_per_row))))
