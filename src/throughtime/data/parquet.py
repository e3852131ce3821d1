"""Columns of texts and classes out of a Parquet file.

A value that repeats is stored once, so a file can be far smaller than what it unpacks to. That is bounded
twice: the pages are unpacked in a process of its own with limited memory, and the texts are counted before
any string is made.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from throughtime.data import _unpack_parquet
from throughtime.data.columns import ARROW_ERRORS, require_columns, short
from throughtime.data.files import most_unpacked, size_of
from throughtime.errors import DataError

_ROW = 100
"""Bytes that a row takes in memory at least: two strings, and its place as an error names it."""

_BESIDE = 2**25
"""Bytes that unpacking may take beside what is unpacked."""

_PART = 2**20

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
        texts = [column for column, type_ in zip(columns, types, strict=True) if _is_text(type_)]
        table = _unpacked(path, columns, texts, most)
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


def _unpacked(path: Path, columns: Sequence[str], texts: Sequence[str], most: int) -> pa.Table:
    """Return columns as `_unpack_parquet` reads them, those of ``texts`` as dictionaries."""
    if not sys.executable:
        raise DataError(
            f"{path} cannot be read: a Parquet file is read in a process of its own, and sys.executable, the "
            "Python to start, is empty; write the file as CSV"
        )
    # The pages as they are unpacked, and the columns made of them.
    memory = 2 * most + _BESIDE
    command = [
        *(sys.executable, "-P", _unpack_parquet.__file__),
        *(os.fspath(path.absolute()), json.dumps(columns), json.dumps(texts), str(memory)),
    ]
    environment = {
        **os.environ,
        **_unpack_parquet.ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONIOENCODING": "utf-8:replace",
    }
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise OSError("the process that reads it has no output")
        stream = bytearray()
        while part := process.stdout.read(_PART):
            stream += part
            if len(stream) > memory:
                process.kill()
                raise _too_large(path)
        said = process.stderr.read().decode(errors="replace")
    if process.returncode == _unpack_parquet.TOO_LARGE:
        raise _too_large(path)
    if process.returncode:
        raise OSError(said.strip() or _ended(process.returncode))
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()


def _ended(status: int) -> str:
    try:
        return f"reading it ended with {signal.Signals(-status).name}"
    except ValueError:
        return f"reading it ended with status {status}"


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
        if pa.types.is_dictionary(chunk.type):
            lengths = _lengths(chunk.dictionary)
            low, high = (bound.as_py() for bound in pc.min_max(chunk.indices).values())
            if low is not None and not 0 <= low <= high < len(lengths):
                raise IndexError("a number of a dictionary is too large")
            lengths = lengths.take(chunk.indices)
        else:
            lengths = _lengths(chunk)
        total += pc.sum(lengths).as_py() or 0
    return total


def _lengths(values: pa.Array) -> pa.Array:
    if _is_text(values.type):
        return pc.binary_length(values.cast(pa.large_string()))
    return pa.array(np.zeros(len(values), np.int64))


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
