"""What the readers of tables share: columns looked up by name, and messages cut to one short line."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa

from throughtime.errors import DataError

ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What Arrow's readers raise of damaged files."""

_SHOWN = 20
_LONGEST = 160


def require_columns(path: Path, columns: Sequence[str], present: Collection[str], row: str = "") -> None:
    """Raise unless each column is there once; ``row`` says where that is asked.

    Raises
    ------
    DataError
        If one is missing or there twice; it names those that are there.
    """
    for column in columns:
        if column not in present:
            names = [short(repr(name)) for _, name in zip(range(_SHOWN), present, strict=False)]
            more = ", …" if len(present) > _SHOWN else ""
            raise DataError(
                f"{path}{row} has no column {column!r}; its columns are {', '.join(names) or 'none'}{more}"
            )
        if sum(name == column for name in present) > 1:
            raise DataError(f"{path}{row} has two columns {column!r}; give one of them another name")


def short(message: str) -> str:
    r"""Return a message on one line, its end left out if it is long.

    Examples
    --------
    >>> short("two\nlines")
    'two lines'
    """
    text = " ".join(message.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
