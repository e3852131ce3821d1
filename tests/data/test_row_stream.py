"""Streams of rows give the rows of whole files, whatever arrives at a time."""

import io
import os
from pathlib import Path

import pyarrow as pa
import pytest

from throughtime.data.read_table import read_table
from throughtime.data.row_stream import StreamOptions, stream_rows
from throughtime.errors import DataError

CSV = 'text,n\r\nto be,1\r\n"or ""not""\r\nto, be",2\n\n5" x,3\n"",4\nünd,5'
JSONL = '{"text": "to be", "n": 1}\n\n  \n{"text": "ü", "n": 2}\r\n{"n": 3}'
TEXT = "to be\r\n\nor\x0cnot\rü"


class _Slow(io.BytesIO):
    """Returns a few bytes at a time, as a pipe may."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(3)


@pytest.mark.parametrize(
    ("kind", "content"), [("csv", CSV), ("jsonl", JSONL), ("text", TEXT)], ids=["csv", "jsonl", "text"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize("stream", [io.BytesIO, _Slow])
def test_the_rows_are_those_of_the_whole_file(kind, content, encoding, rows, stream, tmp_path: Path) -> None:
    path = tmp_path / f"data.{'txt' if kind == 'text' else kind}"
    path.write_bytes(content.encode(encoding))
    whole = read_table(path, encoding=encoding)
    # Without a type, that of a table with empty fields alone would be null.
    options = StreamOptions(encoding, types={"text": pa.string()}, rows=rows)
    tables = list(stream_rows(stream(path.read_bytes()), str(path), kind, options))
    assert max(map(len, tables)) <= rows
    found = [(table.place(i), row) for table in tables for i, row in enumerate(table.content.to_pylist())]
    expected = [(whole.place(i), row) for i, row in enumerate(whole.content.to_pylist())]
    assert [place for place, _ in found] == [place for place, _ in expected]
    for (_, row), (_, other) in zip(found, expected, strict=True):
        assert row == {name: value for name, value in other.items() if name in row}
        assert not any(value for name, value in other.items() if name not in row)


def test_a_row_of_a_pipe_is_there_before_the_next_one_arrives() -> None:
    for kind, lines in (
        ("text", ["to be\n", "or\n"]),
        ("jsonl", ['{"text": "to be"}\n\n', '{"text": "or"}\n']),
        ("csv", ['text\n"to\nbe"\n', "or\n"]),
    ):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as pipe:
            tables = stream_rows(stream, "a pipe", kind)
            for number, line in enumerate(lines, 1):
                pipe.write(line.encode())  # the pipe stays open
                table = next(tables)
                assert len(table) == 1
                assert table.place(0).endswith(f" {number if kind != 'jsonl' else 2 * number - 1}")


def test_types_are_those_that_are_asked_for() -> None:
    content = b"text,id\n1,007\n2,\n"
    types = {"text": pa.string(), "id": pa.string()}
    (table,) = stream_rows(io.BytesIO(content), "a.csv", "csv", StreamOptions(types=types))
    assert table.content.to_pylist() == [{"text": "1", "id": "007"}, {"text": "2", "id": ""}]


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("csv", b"", "a has no rows; give a file with rows"),
        ("csv", b"text\n", "a has no rows; give a file with rows"),
        ("csv", b"a,b\n1,2\n3\n", "a is malformed: row 2: expected 2 columns, got 1: 3; fix that row"),
        ("csv", b"a;b\n1;2\n", "a has one column, 'a;b', if fields are separated by ','; if by ';', pass "),
        ("csv", b'a,b\n1,"2\n', "a is malformed"),
        ("jsonl", b'{"a": 1}\n[2]\n', "a: line 2 is list, expected a JSON object; fix that line"),
        ("jsonl", b"{oops\n", "a: line 1 is not JSON"),
        ("text", b"ok\n\xff\n", "a: byte 3 (0xff) is not UTF-8; convert the data, or give its encoding"),
        ("text", b"ok\n\xc3", "a: byte 3 (0xc3) is not UTF-8; convert the data, or give its encoding"),
    ],
)
def test_what_cannot_be_read_is_named(kind: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError) as raised:
        list(stream_rows(io.BytesIO(content), "a", kind))
    assert str(raised.value).startswith(message)
