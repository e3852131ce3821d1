"""Readers of JSON: an object per line (.jsonl), or one array of objects or object of arrays (.json)."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from throughtime._words import counted
from throughtime.data.columns import require_columns, short
from throughtime.data.encoding import require_characters
from throughtime.data.gzipped import read_utf8
from throughtime.data.plain_text import lines_of
from throughtime.data.read_options import ReadOptions
from throughtime.data.table import Table
from throughtime.data.typed_column import typed_column
from throughtime.errors import DataError


def read_jsonl(path: Path, options: ReadOptions) -> Table:
    """Read one JSON object per line; blank lines are skipped, and a key that a line lacks is null there."""
    numbers, rows = [], []
    for number, row in objects(read_utf8(path, options.encoding).decode(), path):
        numbers.append(number)
        rows.append(row)
    return table_of_objects(rows, numbers, str(path), options.columns)


def table_of_objects(
    rows: Sequence[dict[str, Any]], numbers: Sequence[int], name: str, columns: Sequence[str] | None = None
) -> Table:
    """Return the objects of lines with these numbers, from 1, as a table.

    Raises
    ------
    DataError
        If a column is missing in all of them, or has values of several kinds; the message names the line.
    """
    content = _columns_of_rows(rows, Path(name), columns, lambda row: f"{name}: line {numbers[row]}")
    return Table(content, name, "line", np.array(numbers, np.int64))


def read_json(path: Path, options: ReadOptions) -> Table:
    """Read an array of objects, ``[{"text": "a"}, …]``, or an object of arrays, ``{"text": ["a", …]}``."""
    content = _parsed(read_utf8(path, options.encoding).decode(), str(path))

    def place(row: int) -> str:
        return f"{path}: row {row + 1}"

    if isinstance(content, dict):
        return Table(_columns_of_object(content, path, options.columns, place), str(path))
    if not isinstance(content, list):
        raise DataError(f"{path} is {_name(content)}, expected an array of objects or an object of arrays")
    for row, value in enumerate(content):
        _require_object(value, place(row), "row")
    return Table(_columns_of_rows(content, path, options.columns, place), str(path))


def objects(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number, from 1, and the object of each line that is not blank.

    Raises
    ------
    DataError
        If a line is not a JSON object.
    """
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            yield number, json_object(line, f"{path}: line {number}")


def json_object(line: str, place: str) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises
    ------
    DataError
        If it is none; ``place`` is the start of the message.
    """
    row: dict[str, Any] = _parsed(line, place)
    _require_object(row, place, "line")
    return row


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is not JSON ({short(str(error))}); fix it") from error


def _require_object(value: Any, place: str, unit: str) -> None:
    if not isinstance(value, dict):
        raise DataError(f"{place} is {type(value).__name__}, expected a JSON object; fix that {unit}")


def _columns_of_rows(
    rows: Sequence[dict[str, Any]], path: Path, columns: Sequence[str] | None, place: Callable[[int], str]
) -> pa.Table:
    present = list(dict.fromkeys(key for row in rows for key in row))
    require_columns(path, columns or (), present)
    return _table(
        {name: [row.get(name) for row in rows] for name in (present if columns is None else columns)}, place
    )


def _columns_of_object(
    content: dict[str, Any], path: Path, columns: Sequence[str] | None, place: Callable[[int], str]
) -> pa.Table:
    require_columns(path, columns or (), content)
    chosen = content if columns is None else {name: content[name] for name in columns}
    first = next(iter(chosen), "")
    for name, values in chosen.items():
        if not isinstance(values, list):
            raise DataError(
                f"{path}: {short(repr(name))} is {_name(values)}, expected an array with the values of rows"
            )
        if len(values) != len(chosen[first]):
            raise DataError(
                f"{path}: column {short(repr(name))} has {counted(len(values), 'value')}, but "
                f"{short(repr(first))} has {len(chosen[first])}; give all columns the same number"
            )
    return _table(chosen, place)


def _table(columns: dict[str, list[Any]], place: Callable[[int], str]) -> pa.Table:
    for name in columns:
        require_characters(name, f"{place(0)}: the column name {name!r}")
    return pa.table({name: typed_column(values, name, place) for name, values in columns.items()})


_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _name(value: Any) -> str:
    return _NAMES.get(type(value), "a number")
