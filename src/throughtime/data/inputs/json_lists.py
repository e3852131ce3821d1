"""Columns of lists that are written as JSON in texts, as in CSV files."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from throughtime.data.columns import short
from throughtime.data.inputs.column_kinds import is_text
from throughtime.data.table import Table
from throughtime.data.typed_column import typed_column
from throughtime.errors import DataError


def with_lists(table: Table, name: str) -> pa.ChunkedArray:
    """Return a column; texts are parsed as JSON lists if the first that is not blank begins with ``[``.

    Raises
    ------
    DataError
        If the column is missing, or a text is not a JSON list; the message names the row.

    Examples
    --------
    >>> with_lists(Table(pa.table({"events": ["[5, 22]", None, "[]"]}), "log.csv"), "events").to_pylist()
    [[5, 22], None, []]
    """
    column = table.column(name)
    if not is_text(column.type) or not _begins_with_bracket(column):
        return column
    values = [_parsed(text, table, row, name) for row, text in enumerate(column.to_pylist())]
    return pa.chunked_array([typed_column(values, name, table.place)])


def _begins_with_bracket(column: pa.ChunkedArray) -> bool:
    trimmed = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    texts = trimmed.filter(pc.not_equal(trimmed, ""))  # without nulls
    return len(texts) > 0 and str(texts[0]).startswith("[")


def _parsed(text: str | None, table: Table, row: int, name: str) -> list[Any] | None:
    if text is None or not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_list(text, table, row, name, f" ({short(str(error))})") from error
    if not isinstance(value, list):
        raise _no_list(text, table, row, name, "")
    return value


def _no_list(text: str, table: Table, row: int, name: str, reason: str) -> DataError:
    return DataError(
        f"{table.place(row)}: {short(repr(text))} in column {name!r} is not a JSON list{reason}; write it as "
        '[1, 2] or ["a", "b"]'
    )
