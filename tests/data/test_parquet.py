"""Parquet files: what they unpack to is limited, and a damaged one does not end the process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from throughtime.data import _unpack
from throughtime.data.read_table import read_table
from throughtime.errors import DataError

_NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 3], np.int32)), pa.py_buffer(b"ok\xff")]
)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"t": _NOT_UTF8, "c": ["a", "b"]}), r"column 't': row 2 is not UTF-8"),
        (pa.table([["a"], ["b"], ["c"]], names=["t", "t", "c"]), r"two columns named 't'"),
    ],
)
def test_a_wrong_row_or_column_is_named(table: pa.Table, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    with pytest.raises(DataError, match=message):
        read_table(path)


def test_what_unpacks_to_far_more_than_it_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for text, count in (("x", 40_000_000), ("x" * 100_000, 2000)):
        repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))
        pq.write_table(pa.table({"t": repeated, "c": repeated}), path)
        assert path.stat().st_size < 200_000
        with pytest.raises(DataError, match=r"a\.parquet unpacks to more than 100 times its size"):
            read_table(path)


def test_a_file_that_states_less_than_it_unpacks_to_takes_little_memory(tmp_path: Path) -> None:
    """The description of the file is forged, or what is repeated is not counted in it, so only reading it shows."""
    for forged, encoding in ((True, "PLAIN"), (False, "DELTA_BYTE_ARRAY")):
        texts = pa.array(["x" * 2**17 + str(i) for i in range(2**10)])
        path, table = tmp_path / f"{encoding}.parquet", pa.table({"t": texts, "c": texts.slice(0)})
        options = {"use_dictionary": False, "write_statistics": False, "compression": "zstd"}
        pq.write_table(table, path, column_encoding=dict.fromkeys("tc", encoding), **options)
        if forged:
            _replace_sizes(path)
        assert pq.read_metadata(path).row_group(0).total_byte_size < 2**21
        with pytest.raises(DataError, match=rf"{encoding}\.parquet unpacks to more than 100 times its size"):
            read_table(path)
        command = [sys.executable, _unpack.__file__, str(path), '["t"]']
        environment = os.environ | _unpack.ENVIRONMENT
        for memory, status in ((2**26, _unpack.TOO_LARGE), (2**30, 0)):
            done = subprocess.run(
                [*command, str(memory)], check=False, stdout=subprocess.PIPE, env=environment
            )
            assert done.returncode == status
            assert len(done.stdout) > 2**27 or status


def _replace_sizes(path: Path) -> None:
    """Let the description of a file state 1,000 bytes for the row group that it has."""
    content = path.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    size = pq.read_metadata(path).row_group(0).total_byte_size
    number, small = _varint(2 * size), _varint(2 * 1000)
    small = small[:-1] + bytes([small[-1] | 0x80]) + b"\x80" * (len(number) - len(small) - 1) + b"\0"
    assert content[start:].count(number) == 1
    path.write_bytes(content[:start] + content[start:].replace(number, small))


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def test_texts_encoded_by_what_they_have_in_common_are_read(tmp_path: Path) -> None:
    texts, path = ["one", "once", "on", "two"], tmp_path / "a.parquet"
    table = pa.table({"t": texts, "c": list("abab")})
    pq.write_table(table, path, use_dictionary=False, column_encoding=dict.fromkeys("tc", "DELTA_BYTE_ARRAY"))
    assert read_table(path, columns=["t"]).column("t").to_pylist() == texts


def test_no_byte_of_a_description_ends_the_process(tmp_path: Path) -> None:
    """Of a damaged column pyarrow aborts when it is asked for its sizes."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["x", "y"], "c": ["a", "b"]}), path)
    whole = path.read_bytes()
    places = range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole) - 8, 7)
    refused = 0
    for place in places:
        path.write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
        try:
            read_table(path)
        except DataError:
            refused += 1
    assert refused > len(places) / 8


def test_a_file_is_read_in_a_subprocess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": ["x", "y"], "c": ["a", "b"]}), path)
    aborts = tmp_path / "aborts.py"
    aborts.write_text("import os\nos.abort()\n")
    with monkeypatch.context() as patch:
        patch.setattr(_unpack, "__file__", str(aborts))
        with pytest.raises(
            DataError, match=r"cannot be read as Parquet: the subprocess ended with SIGABRT; write it"
        ):
            read_table(path)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(DataError, match=r"but sys\.executable, the path of the Python interpreter, is empty"):
        read_table(path)
