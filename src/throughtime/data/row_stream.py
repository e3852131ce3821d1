"""`stream_rows`: tables of consecutive rows of a text file or a pipe, in memory that does not grow with it.

Rows of a pipe are passed on as soon as no further complete row has arrived. Types of columns are inferred
for each table by itself unless they are given, unlike in `throughtime.data.read_table.read_table`.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

import numpy as np
import pyarrow as pa

from throughtime._words import counted
from throughtime.data.columns import short
from throughtime.data.delimited import delimiter_and_header, parse
from throughtime.data.json_rows import json_object, table_of_objects
from throughtime.data.table import Table
from throughtime.errors import DataError

StreamFormat = Literal["csv", "jsonl", "text"]

ROWS = 2048
"""Default of the maximum number of rows in a table."""

_BLOCK_SIZE = 2**20
_LONGEST_LINE = 2**26
_MOST_CHARACTERS = 2**24
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is read.

    Parameters
    ----------
    encoding : str
        Encoding of the text.
    delimiter : str, optional
        Character between the fields of CSV; a comma by default.
    types : mapping of str to DataType
        Types of columns of CSV; those of others are inferred.
    rows : int
        Maximum number of rows in a table.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    rows: int = ROWS


def stream_rows(
    stream: BinaryIO, name: str, kind: StreamFormat, options: StreamOptions | None = None
) -> Iterator[Table]:
    r"""Yield tables of consecutive rows of CSV, JSON Lines, or plain text with one text per line.

    Parameters
    ----------
    stream : binary file with ``read1``
        Such as an open file, or ``sys.stdin.buffer``.
    name : str
        What to call it in messages.
    kind : "csv", "jsonl" or "text"
        CSV has a header; plain text has the column ``text``.
    options : StreamOptions, optional
        Encoding, delimiter, types and the size of the tables.

    Raises
    ------
    DataError
        If there are no rows, if a row is malformed or has another encoding, or if a line has more than 64 Mi
        characters; the message names the line or row.

    Examples
    --------
    >>> import io
    >>> content = io.BytesIO(b'text,year\nto be,1601\n"or\nnot",1601\n')
    >>> for table in stream_rows(content, "plays.csv", "csv", StreamOptions(rows=1)):
    ...     print(table.place(0), table.column("text").to_pylist())
    plays.csv: row 1 ['to be']
    plays.csv: row 2 ['or\nnot']
    """
    options = options or StreamOptions()
    rows = 0
    for table in _READERS[kind](_Lines(stream, name, options.encoding), options):
        rows += len(table)
        yield table
    if not rows:
        raise DataError(f"{name} has no rows; give a file with rows")


class _Lines:
    """The lines of a stream with their ends, and whether the last one that has arrived was taken."""

    def __init__(self, stream: BinaryIO, name: str, encoding: str) -> None:
        self.stream, self.name, self.encoding = stream, name, encoding
        self.number = 0
        self.drained = False
        self._decoder = _decoder_of(encoding)
        self._bytes = 0

    def __iter__(self) -> Iterator[str]:
        rest = ""
        while block := self.stream.read1(_BLOCK_SIZE):  # type: ignore[attr-defined]
            lines = list(io.StringIO(rest + self._decoded(block), newline=""))
            # A carriage return at the end may be half of a line end.
            rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
            if len(rest) > _LONGEST_LINE:
                raise DataError(
                    f"{self.name}: line {self.number + 1} has more than 64 Mi characters; split it"
                )
            yield from self._counted(lines)
        rest += self._decoded(b"", final=True)
        yield from self._counted(io.StringIO(rest, newline=""))

    def _counted(self, lines: Iterable[str]) -> Iterator[str]:
        before = None
        for line in lines:
            if before is not None:
                self.number += 1
                yield before
            before = line
        if before is not None:
            self.number += 1
            self.drained = True
            yield before
            self.drained = False

    def _decoded(self, block: bytes, *, final: bool = False) -> str:
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            place = self._bytes - pending + error.start
            byte = error.object[error.start]
            raise DataError(
                f"{self.name}: byte {place} (0x{byte:02x}) is not {self.encoding.upper()}; convert the "
                "data, or give its encoding"
            ) from error
        self._bytes += len(block)
        return text


def _decoder_of(encoding: str) -> codecs.IncrementalDecoder:
    try:
        name = codecs.lookup(encoding).name
        return codecs.getincrementaldecoder("utf-8-sig" if name == "utf-8" else name)()
    except LookupError as error:
        raise DataError(
            f"{encoding!r} is not a text encoding; give a name that Python knows, such as latin-1 or cp1252"
        ) from error


def _grouped(
    records: Iterable[_Record | None], lines: _Lines, rows: int, size: Callable[[_Record], int]
) -> Iterator[list[_Record]]:
    """Yield lists of records; None is a line without a record."""
    group: list[_Record] = []
    characters = 0
    for record in records:
        if record is not None:
            group.append(record)
            characters += size(record)
        if group and (len(group) == rows or lines.drained or characters > _MOST_CHARACTERS):
            yield group
            group, characters = [], 0
    if group:
        yield group


def _texts(lines: _Lines, options: StreamOptions) -> Iterator[Table]:
    records = ((lines.number, line.rstrip("\r\n")) for line in lines)
    for group in _grouped(records, lines, options.rows, lambda record: len(record[1])):
        numbers, texts = zip(*group, strict=True)
        content = pa.table({"text": pa.array(texts, pa.large_string())})
        yield Table(content, lines.name, "line", np.array(numbers, np.int64))


def _objects(lines: _Lines, options: StreamOptions) -> Iterator[Table]:
    records = ((lines.number, line) if line.strip() else None for line in lines)
    for group in _grouped(records, lines, options.rows, lambda record: len(record[1])):
        numbers = [number for number, _ in group]
        rows = [json_object(line, f"{lines.name}: line {number}") for number, line in group]
        yield table_of_objects(rows, numbers, lines.name)


def _delimited(lines: _Lines, options: StreamOptions) -> Iterator[Table]:
    source = iter(lines)
    first = next(source, "")
    while first and not first.strip():
        first = next(source, "")
    path = Path(lines.name)
    delimiter, header = delimiter_and_header(first.encode(), path, options.delimiter)
    records, before = _records(source, delimiter), 0
    for group in _grouped(records, lines, options.rows, lambda record: len(record[0])):
        for row, (text, fields) in enumerate(group, before + 1):
            if fields != len(header):
                raise DataError(
                    f"{lines.name} is malformed: row {row}: expected {counted(len(header), 'column')}, got "
                    f"{fields}: {short(text)}; fix that row"
                )
        raw = "".join([first, *(text for text, _ in group)]).encode()
        content = parse(raw, path, delimiter, types=options.types)
        numbers = np.arange(before + 1, before + 1 + len(group))
        before += len(group)
        yield Table(content, lines.name, numbers=numbers)


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[str, int] | None]:
    """Yield the text and number of fields of each row, whose quoted fields may hold line ends."""
    mark = re.escape(delimiter)
    quoted = re.compile(rf'(^|{mark})"(?:[^"]|"")*"')
    opened = re.compile(rf'(?:^|{mark})"')
    record = ""
    for line in lines:
        record += line
        if '"' in line:
            bare = quoted.sub(r"\1", record)
        elif record == line:
            bare = line
        else:
            continue  # within a quoted field
        if opened.search(bare):
            continue
        yield (record, bare.count(delimiter) + 1) if record.strip("\r\n") else None
        record = ""
    if record:
        yield record, quoted.sub(r"\1", record).count(delimiter) + 1


_READERS: Mapping[StreamFormat, Callable[[_Lines, StreamOptions], Iterator[Table]]] = {
    "csv": _delimited,
    "jsonl": _objects,
    "text": _texts,
}
