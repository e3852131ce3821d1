"""Helpers of the table readers: checks of column names, and shortened messages."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa

from throughtime.errors import DataError

ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""Exceptions that Arrow's readers raise for damaged files."""

_NAMES_SHOWN = 20
_MAX_MESSAGE = 160


def require_columns(path: Path, columns: Sequence[str], present: Collection[str], row: str = "") -> None:
    """Check that each column exists exactly once; ``row`` is the place of the check, for the message.

    Raises
    ------
    DataError
        If a column is missing or duplicated; the message lists the columns of the file.
    """
    for column in columns:
        if column not in present:
            names = [short(repr(name)) for _, name in zip(range(_NAMES_SHOWN), present, strict=False)]
            ellipsis = ", …" if len(present) > _NAMES_SHOWN else ""
            raise DataError(
                f"{path}{row} has no column {column!r}; its columns are "
                f"{', '.join(names) or 'none'}{ellipsis}"
            )
        if sum(name == column for name in present) > 1:
            raise DataError(f"{path}{row} has two columns named {column!r}; rename one of them")


def short(message: str) -> str:
    r"""Return a message as one line, truncated if it is long.

    Examples
    --------
    >>> short("two\nlines")
    'two lines'
    """
    text = " ".join(message.split())
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
