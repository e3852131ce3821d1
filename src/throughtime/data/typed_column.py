"""`typed_column`: values of a column as an Arrow array of one type, or an error that names a row."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from throughtime.data.columns import short
from throughtime.data.encoding import require_characters
from throughtime.errors import DataError

_KINDS = (
    ((bool, np.bool_), "a boolean", "booleans"),
    ((int, float, np.integer, np.floating), "a number", "numbers"),
    ((str,), "text", "texts"),
    ((dict,), "an object", "objects"),
)
_INT64 = range(-(2**63), 2**63)


def typed_column(values: Sequence[Any], column: str, place: Callable[[int], str]) -> pa.Array:
    """Return values as an array; its type is that of Arrow for these values, None is null.

    Parameters
    ----------
    values
        Texts, numbers, booleans, dates, or lists of them, nested or not.
    column
        Name of the column, for messages.
    place
        Place of a row, counted from 0, for messages.

    Raises
    ------
    DataError
        If two rows have values of different kinds, or a value cannot be stored; the message names the row.

    Examples
    --------
    >>> typed_column([1, None, 2.5], "price", "row {}".format).to_pylist()
    [1.0, None, 2.5]
    >>> typed_column(["a", 7], "text", "row {}".format)
    Traceback (most recent call last):
    throughtime.errors.DataError: row 1 has a number (7) in column 'text', but row 0 has text; give one kind
    """
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError, RecursionError) as error:
        raise _fault(values, column, place, error) from error


def _fault(values: Sequence[Any], column: str, place: Callable[[int], str], error: Exception) -> DataError:
    reason = short(str(error))
    try:
        _require_one_kind(values, column, place)
        for row, value in enumerate(values):
            _require_storable(value, column, place(row))
    except DataError as fault:
        return fault
    except RecursionError:
        reason = "lists or objects are nested too deeply"
    return DataError(
        f"{place(0)} and others cannot be stored in column {short(repr(column))} ({reason}); convert them"
    )


def _require_one_kind(values: Sequence[Any], column: str, place: Callable[[int], str]) -> None:
    first: tuple[int, str] | None = None
    for row, value in enumerate(values):
        kind = _kind(value)
        if kind is None:
            continue
        if " and " in kind:
            raise DataError(f"{place(row)} has {kind} in column {short(repr(column))}; give one kind")
        first = first or (row, kind)
        if kind != first[1]:
            raise DataError(
                f"{place(row)} has {kind}{_shown(value)} in column {short(repr(column))}, but "
                f"{place(first[0])} has {first[1]}; give one kind"
            )


def _kind(value: Any, *, several: bool = False) -> str | None:
    """Return what a value is, in words; None if it is missing or an empty list, which may be of any kind."""
    if value is None:
        return None
    for types, singular, plural in _KINDS:
        if isinstance(value, types):
            return plural if several else singular
    if isinstance(value, list | tuple | np.ndarray):
        kinds = sorted({kind for item in value if (kind := _kind(item, several=True))})
        return f"{'lists' if several else 'a list'} of {' and '.join(kinds)}" if kinds else None
    return type(value).__name__


def _shown(value: Any) -> str:
    return f" ({short(repr(value))})" if isinstance(value, str | bool | int | float) else ""


def _require_storable(value: Any, column: str, place: str) -> None:
    if isinstance(value, str):
        require_characters(value, f"{place}, column {short(repr(column))},")
    elif isinstance(value, int) and value not in _INT64:
        raise DataError(
            f"{place} has an integer of {value.bit_length()} bits in column {short(repr(column))}, expected "
            "64 at most; write it as text, or with a decimal point"
        )
    elif isinstance(value, list | tuple):
        for item in value:
            _require_storable(item, column, place)
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            _require_storable(item, column, place)
