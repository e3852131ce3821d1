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

    By default, an Arrow file that is too large for memory is mapped.

    Raises
    ------
    DataError
        See `throughtime.data.read_table.read_table`, as of a file that cannot be mapped.
    """
    mapped = files.memory_map
    if mapped is None:
        mapped = path.suffix.lower() in _MAPPED and path.is_file() and size_of(path) > LARGEST
    table = read_table(path, encoding=files.encoding, delimiter=files.delimiter, memory_map=mapped)
    return StoredTable.of(table) if mapped else table
