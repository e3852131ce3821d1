"""Reading of files as tables, in memory or mapped, for training and prediction."""

from pathlib import Path

from throughtime.data.files import LARGEST, size_of
from throughtime.data.read_table import read_table
from throughtime.data.stored_table import StoredTable
from throughtime.data.table import Table
from throughtime.learn.options import FileOptions

_MAPPED = (".arrow", ".feather")


def read_rows(path: Path, files: FileOptions) -> Table:
    """Return the rows of a file; those of a mapped file are read when they are needed.

    Raises
    ------
    DataError
        See `throughtime.data.read_table.read_table`.
    """
    mapped = _is_too_large(path) if files.memory_map is None else files.memory_map
    table = read_table(path, encoding=files.encoding, delimiter=files.delimiter, memory_map=mapped)
    return StoredTable.of(table) if mapped else table


def _is_too_large(path: Path) -> bool:
    """Return whether a file can be mapped, but not be read into memory."""
    return path.suffix.lower() in _MAPPED and path.is_file() and size_of(path) > LARGEST
