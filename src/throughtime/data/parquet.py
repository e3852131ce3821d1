"""Columns of texts and classes out of a Parquet file.

A value that repeats is stored once, so a file can be far smaller than what it unpacks to. That is bounded
before any string is made.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from throughtime.data.columns import ARROW_ERRORS, require_columns, short
from throughtime.data.files import most_unpacked, size_of
from throughtime.errors import DataError

_ROW = 100
"""Bytes that a row takes in memory at least: two strings, and its place as an error names it."""

_TEXT, _CLASS = "text", "classes as text, numbers or booleans"


def read_parquet(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    """Return the values of columns: the first has texts, the second, if there is one, classes.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or unpacks to more than `most_unpacked`; if a column holds
        anything but text or, of classes, numbers and booleans.
    """
    most = most_unpacked(size_of(path))
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        require_columns(path, columns, list(schema.names))
        types = [_value_type(schema.field(column).type) for column in columns]
        for column, type_, expected in zip(columns, types, (_TEXT, _CLASS), strict=False):
            _require_type(path, column, type_, expected)
        # Sizes of columns are not asked for: of a damaged one pyarrow ends the process.
        groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        if max(metadata.num_rows * _ROW, sum(groups)) > most:
            raise _too_large(path)
        # As a dictionary a repeated string takes no more memory than in the file.
        texts = [column for column, type_ in zip(columns, types, strict=True) if _is_text(type_)]
        with pyarrow.parquet.ParquetFile(path, metadata=metadata, read_dictionary=texts) as file:
            table = file.read(columns=list(columns))
        table.validate()
        found = [table.column(column) for column in columns]
        if table.num_rows * _ROW + sum(map(_text_bytes, found)) > most:
            raise _too_large(path)
        return [_plain(one, f"{path}: column {name!r}") for one, name in zip(found, columns, strict=True)]
    except DataError:
        raise
    except (*ARROW_ERRORS, LookupError) as error:
        said = short(str(error)) or type(error).__name__
        raise DataError(f"{path} cannot be read as Parquet: {said}; write it again") from error


def _value_type(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _is_text(type_: pa.DataType) -> bool:
    of = pa.types
    return bool(of.is_string(type_) or of.is_large_string(type_) or of.is_string_view(type_))


def _require_type(path: Path, column: str, type_: pa.DataType, expected: str) -> None:
    of = pa.types
    accepted = _is_text(type_) or of.is_null(type_)
    if expected == _CLASS:
        accepted |= (
            of.is_boolean(type_) or of.is_integer(type_) or of.is_floating(type_) or of.is_decimal(type_)
        )
    if not accepted:
        raise DataError(f"{path}: column {column!r} holds {short(str(type_))}, expected {expected}")


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Return the bytes of all strings of a column, each as often as it occurs."""
    total = 0
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type) or not len(chunk.dictionary):
            continue
        bounds = pc.min_max(chunk.indices)
        if bounds["min"].is_valid and not 0 <= bounds["min"].as_py() <= bounds["max"].as_py() < len(
            chunk.dictionary
        ):
            raise IndexError("a number of a dictionary is too large")
        if not pa.types.is_primitive(chunk.dictionary.type):
            total += pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
    return total


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path} unpacks to more than 100 times its size, which tables of texts do not; write it as CSV"
    )


def _plain(column: pa.ChunkedArray, name: str) -> list[Any]:
    values: list[Any] = []
    for row, value in enumerate(column, 1):
        try:
            values.append(value.as_py())
        except UnicodeDecodeError as error:
            raise DataError(f"{name}: row {row} is not UTF-8; write the file again") from error
    return values
