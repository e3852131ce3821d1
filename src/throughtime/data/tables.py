"""Labelled texts out of files: CSV, TSV, JSONL, Parquet, or a folder with one subfolder per class.

Every error names file, row or column. Rows count from 1, a header not among them.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from throughtime.errors import DataError


@dataclass(frozen=True)
class TextTable:
    """Texts, their classes if they have any, and where each came from.

    Parameters
    ----------
    texts : list of str
        None of them blank.
    labels : list of str or None
        The class of each, where a label column was named.
    places : sequence of str
        Of each: file and row, as an error names it.
    """

    texts: list[str]
    labels: list[str] | None
    places: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)


def read_texts(path: Path, text: str | None, label: str | None) -> TextTable:
    """Read a table, or a folder with one subfolder per class.

    Parameters
    ----------
    path
        The suffix tells the format: .csv, .tsv, .jsonl (or .ndjson), .parquet.
    text, label
        Names of columns; a folder has none. Without ``label`` no classes are read.

    Raises
    ------
    DataError
        If the file is missing, empty, malformed or not UTF-8, a column is missing, or a row has no text
        or no label.
    """
    if path.is_dir():
        if text is not None or label is not None:
            raise DataError(f"{path} is a folder of classes: it has no columns; leave out --text and --label")
        return _read_folder(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; give a file or a folder")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise DataError(f"{path}: the suffix {path.suffix!r} names no known format; use one of {known}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; give a file with rows")
    if text is None:
        raise DataError(f"{path} is a table: name the column with the text (--text COLUMN)")
    columns = [text] if label is None else [text, label]
    values = reader(path, columns)
    return _checked(values[0], values[1] if label is not None else None, str(path), columns)


def is_table(path: Path) -> bool:
    """Tell whether the suffix is that of a table."""
    return path.suffix.lower() in _READERS


def decode(raw: bytes, name: str) -> str:
    """Return bytes as text, without a byte order mark.

    Raises
    ------
    DataError
        If they are not UTF-8; it says where.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name}: line {line}, byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8; "
            "convert the file, for example with iconv -t utf-8"
        ) from error


def read_lines(raw: bytes, name: str) -> TextTable:
    """Read plain text, one text per line.

    Raises
    ------
    DataError
        If it is not UTF-8, empty, or a line is blank.
    """
    lines = decode(raw, name).splitlines()
    if not lines:
        raise DataError(f"{name} is empty; give one text per line")
    return _checked(lines, None, name, ["text"], unit="line")


def _checked(
    texts: Sequence[Any], labels: Sequence[Any] | None, name: str, columns: Sequence[str], unit: str = "row"
) -> TextTable:
    if not texts:
        raise DataError(f"{name} has no rows; give a file with rows")
    for row, value in enumerate(texts, 1):
        if not isinstance(value, str) and value is not None:
            kind = type(value).__name__
            raise DataError(f"{name}: {unit} {row} has a {kind} in column {columns[0]!r}, expected text")
        if value is None or not value.strip():
            raise DataError(f"{name}: {unit} {row} has no text; fill it in or drop the {unit}")
    named = (
        None
        if labels is None
        else [_label(value, name, row, columns[1]) for row, value in enumerate(labels, 1)]
    )
    return TextTable(list(texts), named, [f"{name}: {unit} {row}" for row in range(1, len(texts) + 1)])


def _label(value: Any, name: str, row: int, column: str) -> str:
    if value is None or value == "":
        raise DataError(f"{name}: row {row} has no label in column {column!r}; fill it in or drop the row")
    if isinstance(value, dict | list):
        raise DataError(
            f"{name}: row {row} has a {type(value).__name__} in column {column!r}, expected a class"
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require(path: Path, columns: Sequence[str], present: Sequence[str]) -> None:
    for column in columns:
        if column not in present:
            raise DataError(
                f"{path} has no column {column!r}; its columns are {', '.join(map(repr, present))}"
            )


def _read_delimited(path: Path, columns: Sequence[str], delimiter: str) -> list[list[Any]]:
    source = decode(path.read_bytes(), str(path))
    header = next(csv.reader(io.StringIO(source), delimiter=delimiter), [])
    _require(path, columns, header)
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(source.encode()),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string())
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is malformed: {_one_line(error)}; mend that row") from error
    return [table.column(column).to_pylist() for column in columns]


def _read_jsonl(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    values: list[list[Any]] = [[] for _ in columns]
    for number, line in enumerate(decode(path.read_bytes(), str(path)).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: line {number} is not JSON ({error}); mend that line") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: line {number} is not a JSON object but {type(row).__name__}; mend that line"
            )
        for column, found in zip(columns, values, strict=True):
            if column not in row:
                shown = ", ".join(map(repr, row)) or "none"
                raise DataError(f"{path}: line {number} has no column {column!r}; its columns are {shown}")
            found.append(row[column])
    return values


def _read_parquet(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _require(path, columns, file.schema_arrow.names)
            table = file.read(columns=list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {_one_line(error)}; write it again") from error
    return [_plain(table.column(column)) for column in columns]


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return list(column.to_pylist())


_READERS: dict[str, Callable[[Path, Sequence[str]], list[list[Any]]]] = {
    ".csv": lambda path, columns: _read_delimited(path, columns, ","),
    ".tsv": lambda path, columns: _read_delimited(path, columns, "\t"),
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}


def _read_folder(path: Path) -> TextTable:
    texts, labels, places = [], [], []
    for label, file in _files_of_classes(path):
        text = decode(file.read_bytes(), str(file))
        if not text.strip():
            raise DataError(f"{file} has no text; fill it in or delete the file")
        texts.append(text)
        labels.append(label)
        places.append(str(file))
    if not texts:
        raise DataError(f"{path} holds no files in subfolders; give a folder with one subfolder per class")
    return TextTable(texts, labels, places)


def _files_of_classes(path: Path) -> Iterator[tuple[str, Path]]:
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            raise DataError(f"{entry} lies beside the class folders of {path}; move it into one, or away")
        for file in sorted(entry.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield entry.name, file


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:159] + "…"
