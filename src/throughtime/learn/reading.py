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

    ``files.memory_map`` is for Arrow files only: others are read into memory.

    Raises
    ------
    DataError
        See `throughtime.data.read_table.read_table`.
    """
    can_be_mapped = path.suffix.lower() in _MAPPED and path.is_file()
    mapped = can_be_mapped and (size_of(path) > LARGEST if files.memory_map is None else files.memory_map)
    table = read_table(path, encoding=files.encoding, delimiter=files.delimiter, memory_map=mapped)
    return StoredTable.of(table) if mapped else table
