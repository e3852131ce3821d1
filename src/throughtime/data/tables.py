"""Labelled texts out of files: CSV, TSV, JSONL, Parquet, or a folder with one subfolder per class.

Every error names file, row or column. Rows count from 1, a header not among them.
"""

import codecs
import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from throughtime.data.columns import ARROW_ERRORS, require_columns, short
from throughtime.data.files import read_bytes, size_of
from throughtime.data.parquet import read_parquet
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
    r"""Read a table, or a folder with one subfolder per class.

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
        or no label; if it is no file but a pipe or a device, or too large to keep in memory.

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
            raise DataError(f"{path} is a folder of classes: it has no columns; leave out --text and --label")
        return _read_folder(path)
    size = size_of(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        raise DataError(f"{path}: the suffix {path.suffix!r} names no known format; use one of {known}")
    if size == 0:
        raise DataError(f"{path} is empty; give a file with rows")
    if text is None:
        raise DataError(f"{path} is a table: name the column with the text (--text COLUMN)")
    columns = [text] if label is None else [text, label]
    for column in columns:
        _require_characters(column, f"the column name {column!r}")
    values = reader(path, columns)
    return _checked(values[0], values[1] if label is not None else None, str(path), columns)


def is_table(path: Path) -> bool:
    """Tell whether the suffix is that of a table."""
    return path.suffix.lower() in _READERS


def decode(raw: bytes, name: str) -> str:
    r"""Return bytes as text, without a byte order mark.

    Raises
    ------
    DataError
        If they are not UTF-8; it says where.

    Examples
    --------
    >>> decode("\N{BYTE ORDER MARK}naïve".encode(), "a.txt")
    'naïve'
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        if error.reason == "unexpected end of data":
            raise DataError(
                f"{name}: line {line}, byte {error.start} (0x{raw[error.start]:02x}) begins a character "
                "that the file ends inside of; the file is cut short: restore it, or cut that byte off, too"
            ) from error
        raise DataError(
            f"{name}: line {line}, byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8; "
            "convert the file, for example with iconv -t utf-8"
        ) from error


def read_lines(raw: bytes, name: str) -> TextTable:
    r"""Read plain text, one text per line.

    Raises
    ------
    DataError
        If it is not UTF-8, empty, or a line is blank.

    Examples
    --------
    >>> table = read_lines(b"to be\nor not\n", "a.txt")
    >>> table.texts, table.places[1]
    (['to be', 'or not'], 'a.txt: line 2')
    """
    lines = _lines(decode(raw, name))
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
        _require_characters(value, f"{name}: {unit} {row}")
    named = (
        None
        if labels is None
        else [_label(value, name, row, columns[1]) for row, value in enumerate(labels, 1)]
    )
    return TextTable(list(texts), named, [f"{name}: {unit} {row}" for row in range(1, len(texts) + 1)])


def _label(value: Any, name: str, row: int, column: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip():
        raise DataError(f"{name}: row {row} has no label in column {column!r}; fill it in or drop the row")
    if isinstance(value, dict | list):
        raise DataError(
            f"{name}: row {row} has a {type(value).__name__} in column {column!r}, expected a class"
        )
    _require_characters(str(value), f"{name}: row {row}")
    return str(value)


def _require_characters(value: str, place: str) -> None:
    """Refuse unpaired surrogates: JSON and names of folders can hold them, UTF-8 and tokenizers cannot."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place} contains an unpaired surrogate (\\u{ord(value[error.start]):04x}); write the whole "
            "character, or leave it out"
        ) from error


def _is_utf8(name: str) -> bool:
    """Tell whether the bytes of a file's name were; Python keeps others as unpaired surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(text: str) -> list[str]:
    """Split at line feeds and carriage returns, and not, as `str.splitlines`, at what may be in a text."""
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]


def _read_delimited(path: Path, columns: Sequence[str], delimiter: str) -> list[list[Any]]:
    raw = read_bytes(path).removeprefix(codecs.BOM_UTF8)
    decode(raw, str(path))
    wrong: list[pyarrow.csv.InvalidRow] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    try:
        lines = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")
        require_columns(path, columns, next(csv.reader(lines, delimiter=delimiter), []))
        table = pyarrow.csv.read_csv(
            pa.BufferReader(raw),
            # Only one thread knows the numbers of rows, and only one block holds a row of any length.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=len(raw) + 1),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string())
            ),
        )
    except DataError:
        raise
    except (csv.Error, *ARROW_ERRORS) as error:
        raise DataError(f"{path} is malformed: {short(str(error))}; fix that row") from error
    if wrong:
        first = wrong[0]
        raise DataError(
            f"{path} is malformed: row {first.number - 1}: Expected {first.expected_columns} columns, got "
            f"{first.actual_columns}: {short(first.text)}; fix that row"
        )
    return [table.column(column).to_pylist() for column in columns]


def _read_jsonl(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    values: list[list[Any]] = [[] for _ in columns]
    for number, line in enumerate(_lines(decode(read_bytes(path), str(path))), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number} is not JSON ({error}); fix that line") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: line {number} is not a JSON object but {type(row).__name__}; fix that line"
            )
        require_columns(path, columns, row, f": line {number}")
        for column, found in zip(columns, values, strict=True):
            found.append(row[column])
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
    try:
        files = list(_files_of_classes(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    for label, file in files:
        text = decode(read_bytes(file), str(file))
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
        if not _is_utf8(entry.name):
            raise DataError(f"the name of the class folder {entry} is not UTF-8; rename it")
        for file in sorted(entry.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield entry.name, file
