"""The rows of a request: JSON values to objects with the columns that a model reads."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from throughtime._words import counted
from throughtime.data.columns import short, shown_names
from throughtime.data.table import Table
from throughtime.data.typed_column import typed_column
from throughtime.errors import DataError
from throughtime.learn.options import ColumnOptions

Row = dict[str, Any]
ROWS = "rows"
"""Key of the list of rows in a request."""


class NotJsonError(DataError):
    """A request is not JSON."""


class TooManyRowsError(DataError):
    """A request has more rows than are allowed."""


def columns_of(columns: ColumnOptions) -> tuple[str, ...]:
    """Return the columns that a model reads, without its targets."""
    return (*columns.text, *columns.tokens, *columns.series, *columns.numeric)


def parsed(body: bytes) -> Any:
    """Return the JSON value of a request.

    Raises
    ------
    NotJsonError
        If it is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotJsonError(
            f"the request is not JSON ({short(str(error))}); send an object or a list"
        ) from error


def rows_of(content: Any, columns: ColumnOptions, most: int, *, split: bool = False) -> list[Row]:
    """Return the rows of a request, each an object with all columns that the model reads.

    Parameters
    ----------
    content
        ``{"rows": [...]}`` with an object for each row, such an object by itself, a text, or a list of
        objects, texts, lists of tokens or series, as `throughtime.Predictor.predict` takes it.
    columns : ColumnOptions
        The columns of the model.
    most : int
        Maximum number of rows.
    split : bool
        Whether tokens are texts, which the model splits at white space.

    Raises
    ------
    DataError
        If there are no rows, or a column is missing; the message names the row.
    TooManyRowsError
        If there are too many rows.

    Examples
    --------
    >>> columns = ColumnOptions(text=("review",))
    >>> rows_of({"rows": [{"review": "good", "id": 7}]}, columns, 10)
    [{'review': 'good'}]
    >>> rows_of(["good", "bad"], columns, 10)
    [{'review': 'good'}, {'review': 'bad'}]
    >>> rows_of({"text": "good"}, columns, 10)
    Traceback (most recent call last):
        ...
    throughtime.errors.DataError: row 1 has no column 'review'; its columns are 'text'; add it
    """
    names = columns_of(columns)
    items = _items(content, names)
    if not items:
        raise DataError("the request has no rows; send at least one")
    if len(items) > most:
        raise TooManyRowsError(
            f"the request has {counted(len(items), 'row')}, but at most {most:,} are allowed; send several "
            "requests"
        )
    if isinstance(items[0], dict):
        rows = [_selected(item, names, number) for number, item in enumerate(items, 1)]
    else:
        rows = [_row_of(item, names, columns, number) for number, item in enumerate(items, 1)]
    _require_kinds(rows, columns, split=split)
    return rows


def table_of(rows: Sequence[Row], columns: ColumnOptions) -> Table:
    """Return rows of `rows_of` as a table; messages call them row 1, row 2 and so on.

    Raises
    ------
    DataError
        If the values of a column differ in kind, or cannot be stored; the message names the row.
    """
    content = {name: typed_column([row[name] for row in rows], name, _place) for name in columns_of(columns)}
    places = [_place(row) for row in range(len(rows))]
    return Table(pa.table(content), "the request", places=places)


def _place(row: int) -> str:
    return f"row {row + 1}"


def _items(content: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(content, dict):
        if ROWS in content and ROWS not in names:
            return _list_of_rows(content)
        return [content]
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return content
    raise DataError(
        f"the request is {_kind(content)}, expected {{{json.dumps(ROWS)}: [...]}}, one row, or a list of rows"
    )


def _list_of_rows(content: dict[str, Any]) -> list[Any]:
    if len(content) > 1:
        other = next(name for name in content if name != ROWS)
        raise DataError(
            f"the request has a key {short(repr(other))} beside {ROWS!r}; remove it, or put it into rows"
        )
    rows = content[ROWS]
    if isinstance(rows, list):
        return rows
    raise DataError(f"{ROWS!r} is {_kind(rows)}, expected a list of rows")


def _selected(item: Any, names: Sequence[str], number: int) -> Row:
    if not isinstance(item, dict):
        raise DataError(f"row {number} is {_kind(item)}, but row 1 is an object; send rows of one kind")
    for name in names:
        if name not in item:
            raise DataError(
                f"row {number} has no column {name!r}; its columns are {shown_names(item)}; add it"
            )
    return {name: item[name] for name in names}


def _row_of(item: Any, names: Sequence[str], columns: ColumnOptions, number: int) -> Row:
    if isinstance(item, dict):
        raise DataError(f"row {number} is an object, but row 1 is not; send rows of one kind")
    if len(names) > 1:
        raise DataError(
            f"row {number} is {_kind(item)}, but the model reads several columns; send an object with "
            f"{shown_names(names)}"
        )
    return {names[0]: _time_first(item, number) if columns.series else item}


def _require_kinds(rows: Sequence[Row], columns: ColumnOptions, *, split: bool) -> None:
    """Check that each value may be one of its column; what is in lists is checked when they are encoded."""
    kinds: tuple[tuple[Sequence[str], tuple[type, ...], str], ...] = (
        (columns.text, (str,), "a text"),
        (columns.tokens, (str,) if split else (list,), "a text" if split else "a list of tokens"),
        (columns.series, (list, int, float), "a list of numbers"),
        (columns.numeric, (int, float), "a number"),
    )
    for names, types, expected in kinds:
        for number, row in enumerate(rows, 1):
            for name in names:
                if not (row[name] is None or isinstance(row[name], types)):
                    raise DataError(
                        f"row {number} has {_kind(row[name])} in column {name!r}, expected {expected}"
                    )


def _time_first(item: Any, number: int) -> Any:
    """Return a series with time first, as in columns; in lists of lists, channels are first."""
    if not (isinstance(item, list) and item and all(isinstance(channel, list) for channel in item)):
        return item
    lengths = sorted({len(channel) for channel in item})
    if len(lengths) > 1:
        raise DataError(
            f"row {number} has channels of {short(', '.join(map(str, lengths)))} steps; send channels of the "
            "same length"
        )
    return [list(step) for step in zip(*item, strict=True)]


_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
