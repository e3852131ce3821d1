"""Helpers of the table readers: checks of column names and values, and shortened messages."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from throughtime.errors import DataError

ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""Exceptions that Arrow's readers raise for damaged files."""

_NAMES_SHOWN = 20
_MAX_MESSAGE = 160


def require_columns(path: Path, columns: Sequence[str], present: Collection[str]) -> None:
    """Check that each column exists exactly once.

    Raises
    ------
    DataError
        If a column is missing or duplicated; the message lists the columns of the file.
    """
    for column in columns:
        if column not in present:
            raise DataError(f"{path} has no column {column!r}; its columns are {shown_names(present)}")
        if sum(name == column for name in present) > 1:
            raise DataError(f"{path} has two columns named {column!r}; rename one of them")


def with_columns(table: pa.Table, path: Path, columns: Sequence[str] | None) -> pa.Table:
    """Return these columns of a table, all by default.

    Raises
    ------
    DataError
        As `require_columns`.
    """
    if columns is None:
        return table
    require_columns(path, columns, table.column_names)
    return table.select(list(columns))


def shown_names(names: Collection[str]) -> str:
    """Return the first names of columns as a list for a message.

    Examples
    --------
    >>> shown_names(["text", "label"])
    "'text', 'label'"
    """
    shown = [short(repr(name)) for _, name in zip(range(_NAMES_SHOWN), names, strict=False)]
    return (", ".join(shown) or "none") + (", …" if len(names) > _NAMES_SHOWN else "")


def is_text(type_: pa.DataType) -> bool:
    """Return whether a type is one of Arrow's types of text."""
    types = pa.types
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def missing_values(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which values of a column are null, NaN or a blank text, (n,).

    Examples
    --------
    >>> missing_values(pa.chunked_array([["a", None, " "]]))
    array([False,  True,  True])
    """
    missing = pc.is_null(column, nan_is_null=True).to_numpy()
    if is_text(column.type):
        missing |= pc.equal(pc.utf8_trim_whitespace(column.fill_null("")), "").to_numpy()
    flags: NDArray[np.bool_] = missing
    return flags


def require_valid(table: pa.Table, path: Path) -> pa.Table:
    """Check all offsets and texts of a table from a file that Arrow's writers may not have written.

    Raises
    ------
    DataError
        If a text is not UTF-8, or an offset is out of range; the message names the column and row.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        before = 0
        for chunk in column.chunks:
            if fault := _fault(chunk):
                row = before + _first_invalid(chunk) + 1
                raise DataError(f"{path}: column {name!r}: row {row} is {fault}; write the file again")
            before += len(chunk)
    return table


def short(message: str) -> str:
    r"""Return a message as one line, truncated if it is long.

    Examples
    --------
    >>> short("two\nlines")
    'two lines'
    """
    text = " ".join(message.split())
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _first_invalid(array: pa.Array) -> int:
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fault(array.slice(low, middle - low)) else (middle, high)
    return low


def _fault(array: pa.Array) -> str | None:
    try:
        array.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        return "not UTF-8" if "UTF8" in str(error) else "damaged"
    return None
