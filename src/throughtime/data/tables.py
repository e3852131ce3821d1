"""Readers of labelled texts: CSV, TSV, JSONL, Parquet, or a folder with one subfolder per class.

Every error names the file, row or column. Rows are numbered from 1, not counting a header.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from throughtime.data.class_folder import files_of_classes
from throughtime.data.columns import require_columns
from throughtime.data.delimited import header_of, parse
from throughtime.data.encoding import decode, require_characters, to_utf8
from throughtime.data.files import read_bytes, size_of
from throughtime.data.json_rows import objects
from throughtime.data.parquet import read_parquet
from throughtime.data.plain_text import lines_of
from throughtime.errors import DataError

__all__ = ["TextTable", "decode", "is_table", "read_lines", "read_texts"]


@dataclass(frozen=True)
class TextTable:
    """Texts with optional labels, and the file and row of each text.

    Parameters
    ----------
    texts : list of str
        Texts that are not blank.
    labels : list of str or None
        The class of each text, if a label column was given.
    places : sequence of str
        File and row of each text, for error messages.
    """

    texts: list[str]
    labels: list[str] | None
    places: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)


def read_texts(path: Path, text: str | None, label: str | None) -> TextTable:
    r"""Read a table, or a folder with one subfolder per class.

    Parameters
    ----------
    path
        A folder, or a file in the format of its suffix: .csv, .tsv, .jsonl (or .ndjson), .parquet.
    text, label
        Names of the text and label columns; None for a folder. If ``label`` is None, no labels are read.

    Raises
    ------
    DataError
        If the file is missing, empty, malformed or not UTF-8; if a column is missing, or a row has no text
        or no label; if the file is a pipe or a device, or has 2 GiB or more.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "plays.csv"
    ...     _ = path.write_text("words,play\nto be,Hamlet\nor not,Hamlet\n")
    ...     table = read_texts(path, "words", "play")
    >>> table.texts, table.labels
    (['to be', 'or not'], ['Hamlet', 'Hamlet'])
    """
    if path.is_dir():
        if text is not None or label is not None:
            raise DataError(f"{path} is a folder of classes and has no columns; leave out --text and --label")
        return _read_folder(path)
    size = size_of(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        suffixes = ", ".join(_READERS)
        raise DataError(f"{path}: the suffix {path.suffix!r} is not supported; use one of {suffixes}")
    if size == 0:
        raise DataError(f"{path} is empty; give a file with rows")
    if text is None:
        raise DataError(f"{path} is a table: name the column with the text (--text COLUMN)")
    columns = [text] if label is None else [text, label]
    for column in columns:
        require_characters(column, f"the column name {column!r}")
    values = reader(path, columns)
    return _checked(values[0], values[1] if label is not None else None, str(path), columns)


def is_table(path: Path) -> bool:
    """Return whether the suffix is that of a table format."""
    return path.suffix.lower() in _READERS


def read_lines(raw: bytes, name: str) -> TextTable:
    r"""Read plain text, one text per line.

    Raises
    ------
    DataError
        If it is empty or not UTF-8, or if a line is blank.

    Examples
    --------
    >>> table = read_lines(b"to be\nor not\n", "a.txt")
    >>> table.texts, table.places[1]
    (['to be', 'or not'], 'a.txt: line 2')
    """
    lines = lines_of(decode(raw, name))
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
            raise DataError(
                f"{name}: {unit} {row} has a {kind} in column {columns[0]!r}, expected text; fix the {unit}"
            )
        if value is None or not value.strip():
            raise DataError(f"{name}: {unit} {row} has no text; fill it in or drop the {unit}")
        require_characters(value, f"{name}: {unit} {row}")
    classes = (
        None
        if labels is None
        else [_label(value, name, row, columns[1]) for row, value in enumerate(labels, 1)]
    )
    return TextTable(list(texts), classes, [f"{name}: {unit} {row}" for row in range(1, len(texts) + 1)])


def _label(value: Any, name: str, row: int, column: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip():
        raise DataError(f"{name}: row {row} has no label in column {column!r}; fill it in or drop the row")
    if isinstance(value, dict | list):
        raise DataError(
            f"{name}: row {row} has a {type(value).__name__} in column {column!r}, expected a class; fix it"
        )
    require_characters(str(value), f"{name}: row {row}")
    return str(value)


def _read_delimited(path: Path, columns: Sequence[str], delimiter: str) -> list[list[Any]]:
    raw = to_utf8(read_bytes(path), str(path))
    require_columns(path, columns, header_of(raw, path, delimiter))
    table = parse(raw, path, delimiter, columns=columns, types=dict.fromkeys(columns, pa.string()))
    return [table.column(column).to_pylist() for column in columns]


def _read_jsonl(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    values: list[list[Any]] = [[] for _ in columns]
    for number, row in objects(decode(read_bytes(path), str(path)), path):
        require_columns(path, columns, row, f": line {number}")
        for column, column_values in zip(columns, values, strict=True):
            column_values.append(row[column])
    return values


_READERS: dict[str, Callable[[Path, Sequence[str]], list[list[Any]]]] = {
    ".csv": lambda path, columns: _read_delimited(path, columns, ","),
    ".tsv": lambda path, columns: _read_delimited(path, columns, "\t"),
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": read_parquet,
}


def _read_folder(path: Path) -> TextTable:
    texts, labels, places = [], [], []
    for label, file in files_of_classes(path):
        text = decode(read_bytes(file), str(file))
        if not text.strip():
            raise DataError(f"{file} has no text; add a text or delete the file")
        texts.append(text)
        labels.append(label)
        places.append(str(file))
    return TextTable(texts, labels, places)
