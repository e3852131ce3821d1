"""Reader of delimited text: CSV, TSV, and series of the UCR archive in TSV files without a header.

The types of columns are inferred: integers, floating-point numbers, booleans (true, false), dates and times;
everything else is text. Unlike in pandas, a column in which an integer has a leading zero (007) is text, so
that no two values become one.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from throughtime._options import named
from throughtime.data.columns import ARROW_ERRORS, require_columns, short, with_columns
from throughtime.data.gzipped import read_utf8
from throughtime.data.read_options import ReadOptions
from throughtime.data.series import padded_series
from throughtime.data.table import Table
from throughtime.errors import DataError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan)", re.IGNORECASE)
_BLOCK_SIZE = 2**22
_NULLS = ("", "NA", "N/A", "NaN", "nan", "n/a", "#N/A", "NULL", "null", "None")
_ESCAPED = {"\\t": "\t"}


def read_csv(path: Path, options: ReadOptions) -> Table:
    """Read a .csv file, whose first line names the columns."""
    raw = read_utf8(path, options.encoding)
    delimiter, header = delimiter_and_header(raw, path, options.delimiter)
    return Table(_inferred(raw, path, delimiter, header, options.columns), str(path))


def read_tsv(path: Path, options: ReadOptions) -> Table:
    """Read a .tsv file whose first line names the columns, or a file of the UCR archive, which has no header.

    A first line of two or more numbers, other than 0, 1, 2, …, is no header. Then column 0 is the ``label``,
    and the other columns are a ``series``, which ends with its last number that is not NaN.
    """
    raw = read_utf8(path, options.encoding)
    delimiter = _delimiter(options.delimiter, "\t")
    header = header_of(raw, path, delimiter)
    if options.delimiter is None:
        _require_delimiter(header, path, "\t")
    if _are_numbers(header) and header != [str(i) for i in range(len(header))]:
        table = _series_of(raw, path, delimiter, len(header))
        return Table(with_columns(table, path, options.columns), str(path))
    return Table(_inferred(raw, path, delimiter, header, options.columns), str(path))


def delimiter_and_header(raw: bytes, path: Path, delimiter: str | None) -> tuple[str, list[str]]:
    """Return the delimiter of CSV, a comma unless another one is given, and the names of the columns.

    Raises
    ------
    DataError
        If the delimiter is not accepted or does not fit, or there is no header.
    """
    character = _delimiter(delimiter, ",")
    header = header_of(raw, path, character)
    if delimiter is None:
        _require_delimiter(header, path, ",")
    if _are_numbers(header) and not all(field.isdecimal() for field in header):
        raise DataError(
            f"{path} has no header: its first line holds numbers only; add a line with the names of columns"
        )
    return character, header


def header_of(raw: bytes, path: Path, delimiter: str) -> list[str]:
    """Return the fields of the first row.

    Raises
    ------
    DataError
        If it is malformed.
    """
    lines = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline="")
    try:
        return next(csv.reader(lines, delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(f"{path} is malformed: {short(str(error))}; fix the first row") from error


def parse(
    raw: bytes,
    path: Path,
    delimiter: str,
    *,
    columns: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    has_header: bool = True,
) -> pa.Table:
    """Parse delimited text.

    Parameters
    ----------
    raw
        UTF-8.
    path
        Name of the file for messages.
    delimiter
        Character between fields.
    columns
        Names of the columns to return, all by default.
    types
        Types of columns by name; other types are inferred.
    has_header
        Whether the first row names the columns; if not, their names are f0, f1, ….

    Raises
    ------
    DataError
        If a row has another number of fields than the first one, or a field does not have its type.
    """
    _require_closed_quotes(raw, path, delimiter)
    invalid: list[pyarrow.csv.InvalidRow] = []

    def record(row: pyarrow.csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(raw),
            # Row numbers need a single thread, and rows of any length need a single block.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=len(raw) + 1, autogenerate_column_names=not has_header
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=record
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=None if columns is None else list(columns),
                column_types=types,
                null_values=_NULLS,
                true_values=("true", "True", "TRUE"),
                false_values=("false", "False", "FALSE"),
            ),
        )
    except ARROW_ERRORS as error:
        raise DataError(f"{path} is malformed: {short(str(error))}; fix that row") from error
    if invalid:
        first = invalid[0]
        raise DataError(
            f"{path} is malformed: row {first.number - has_header}: expected {first.expected_columns} "
            f"columns, got {first.actual_columns}: {short(first.text)}; fix that row"
        )
    return table


def _require_closed_quotes(raw: bytes, path: Path, delimiter: str) -> None:
    """Find a quoted field that ends with the file: it takes in all rows after it."""
    if raw.count(b'"') % 2 == 0:
        return
    field = re.compile(rb"(?:^|[\r\n" + re.escape(delimiter).encode() + rb'])"[^"]*(?:""[^"]*)*("|\Z)')
    for match in field.finditer(raw):
        if not match[1]:
            line = raw.count(b"\n", 0, match.start() + 1) + 1
            raise DataError(
                f"{path} is malformed: the quote in line {line} is not closed; add the closing quote"
            )


def _delimiter(chosen: str | None, default: str) -> str:
    delimiter = _ESCAPED.get(chosen, chosen) if chosen is not None else default
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise DataError(f"the delimiter {chosen!r} is not accepted; give one ASCII character, such as ';'")
    return delimiter


def _require_delimiter(header: Sequence[str], path: Path, default: str) -> None:
    """Ask for the delimiter if the header is one field that has another usual one in it."""
    others = [other for other in ";\t|," if other != default and len(header) == 1 and other in header[0]]
    if others:
        raise DataError(
            f"{path} has one column, {short(repr(header[0]))}, if fields are separated by {default!r}; if by "
            f"{others[0]!r}, pass {named('delimiter', others[0])}"
        )


def _are_numbers(fields: Sequence[str]) -> bool:
    return len(fields) > 1 and all(_NUMBER.fullmatch(field.strip()) for field in fields)


def _inferred(
    raw: bytes, path: Path, delimiter: str, header: Sequence[str], columns: Sequence[str] | None
) -> pa.Table:
    require_columns(path, columns or (), header)
    table = parse(raw, path, delimiter, columns=columns)
    integers = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    if not integers or not _may_have_leading_zeros(raw) or len(set(header)) < len(header):
        return table
    written = parse(raw, path, delimiter, columns=integers, types=dict.fromkeys(integers, pa.string()))
    for name in integers:
        if pc.any(pc.match_substring_regex(written.column(name), r"^\s*[+-]?0\d")).as_py():
            table = table.set_column(table.column_names.index(name), name, written.column(name))
    return table


def _may_have_leading_zeros(raw: bytes) -> bool:
    """Return whether a zero before a digit follows a byte that is no letter, digit or point."""
    codes = np.frombuffer(raw, np.uint8)
    return any(
        _has_leading_zero(codes[max(start - 2, 0) : start + _BLOCK_SIZE])
        for start in range(0, len(codes), _BLOCK_SIZE)
    )


def _has_leading_zero(codes: NDArray[np.uint8]) -> bool:
    zeros = np.flatnonzero(codes[1:-1] == ord("0")) + 1
    before, after = codes[zeros - 1], codes[zeros + 1]
    starts = (before < ord("0")) & (before != ord("."))
    return bool((starts & (after >= ord("0")) & (after <= ord("9"))).any())


def _series_of(raw: bytes, path: Path, delimiter: str, fields: int) -> pa.Table:
    types = {f"f{number}": pa.float64() for number in range(1, fields)}
    table = parse(raw, path, delimiter, types=types, has_header=False)
    values = np.stack([column.to_numpy() for column in table.columns[1:]], axis=1)
    return pa.table({"label": _whole_numbers(table.column(0)), "series": padded_series(values)})


def _whole_numbers(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return classes written as 1.0000000e+00 as integers."""
    if pa.types.is_floating(labels.type) and not labels.null_count:
        values = labels.to_numpy()
        if (np.abs(values) < 2**53).all() and (values == np.trunc(values)).all():
            return labels.cast(pa.int64())
    return labels
