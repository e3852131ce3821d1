"""Reader of text and class columns from Parquet files.

A repeated value is stored once, so the unpacked size can exceed the file size by far. It is limited twice: a
subprocess with limited memory unpacks the pages, and the total length of the texts is checked before Python
strings are created.
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

_ROW_BYTES = 100
"""Minimum memory of a row in bytes: two strings, and its description for error messages."""

_UNPACKING_OVERHEAD = 2**25
"""Memory in bytes that unpacking may use in addition to the unpacked data."""

_CHUNK_SIZE = 2**20

_TEXT, _CLASS = "text", "classes as text, numbers or booleans"


def read_parquet(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    """Return the values of a text column and, optionally, of a class column.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, the unpacked size exceeds `most_unpacked`, or a
        column has an unsupported type. Texts must be strings; classes may also be numbers or booleans.
    """
    most = most_unpacked(size_of(path))
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        require_columns(path, columns, list(schema.names))
        types = [_value_type(schema.field(column).type) for column in columns]
        for column, type_, expected in zip(columns, types, (_TEXT, _CLASS), strict=False):
            _require_type(path, column, type_, expected)
        # Column sizes are not read, because pyarrow ends the process if one is damaged.
        groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        if max(metadata.num_rows * _ROW_BYTES, sum(groups)) > most:
            raise _too_large(path)
        texts = [column for column, type_ in zip(columns, types, strict=True) if _is_text(type_)]
        table = _unpacked(path, columns, texts, most)
        table.validate()
        arrays = [table.column(column) for column in columns]
        if table.num_rows * _ROW_BYTES + sum(map(_text_bytes, arrays)) > most:
            raise _too_large(path)
        return [
            _to_list(array, f"{path}: column {name!r}") for array, name in zip(arrays, columns, strict=True)
        ]
    except DataError:
        raise
    except (*ARROW_ERRORS, LookupError) as error:
        reason = short(str(error)) or type(error).__name__
        raise DataError(f"{path} cannot be read as Parquet: {reason}; write it again") from error


def _unpacked(path: Path, columns: Sequence[str], texts: Sequence[str], most: int) -> pa.Table:
    """Read columns in a subprocess with `_unpack_parquet`, ``texts`` as dictionary columns."""
    if not sys.executable:
        raise DataError(
            f"{path} cannot be read: Parquet files are read in a subprocess, but sys.executable, the path of "
            "the Python interpreter, is empty; convert the file to CSV"
        )
    # For the unpacked pages and the columns created from them.
    memory = 2 * most + _UNPACKING_OVERHEAD
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
    with subprocess.Popen(  # noqa: S603 - a script of this package
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise OSError("the subprocess that reads it has no output")
        stream = bytearray()
        while chunk := process.stdout.read(_CHUNK_SIZE):
            stream += chunk
            if len(stream) > memory:
                process.kill()
                raise _too_large(path)
        message = process.stderr.read().decode(errors="replace")
    if process.returncode == _unpack_parquet.TOO_LARGE:
        raise _too_large(path)
    if process.returncode:
        raise OSError(message.strip() or _exit_reason(process.returncode))
    return pa.ipc.open_stream(pa.py_buffer(stream)).read_all()


def _exit_reason(status: int) -> str:
    try:
        return f"the subprocess ended with {signal.Signals(-status).name}"
    except ValueError:
        return f"the subprocess ended with status {status}"


def _value_type(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _is_text(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _require_type(path: Path, column: str, type_: pa.DataType, expected: str) -> None:
    checks = [_is_text, pa.types.is_null]
    if expected == _CLASS:
        checks += [pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal]
    accepted = any(check(type_) for check in checks)
    if not accepted:
        raise DataError(f"{path}: column {column!r} holds {short(str(type_))}, expected {expected}")


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Return the total size of the strings of a column in bytes, with repeated ones counted repeatedly."""
    total = 0
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            lengths = _lengths(chunk.dictionary)
            low, high = (bound.as_py() for bound in pc.min_max(chunk.indices).values())
            if low is not None and not 0 <= low <= high < len(lengths):
                raise IndexError("an index into a dictionary is out of range")
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
        f"{path} unpacks to more than 100 times its size, the limit for tables of texts; convert it to CSV"
    )


def _to_list(column: pa.ChunkedArray, name: str) -> list[Any]:
    values: list[Any] = []
    for row, value in enumerate(column, 1):
        try:
            values.append(value.as_py())
        except UnicodeDecodeError as error:
            raise DataError(f"{name}: row {row} is not UTF-8; write the file again") from error
    return values
