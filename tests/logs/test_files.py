"""Files of logs: their order, their encodings, and what is refused."""

import bz2
import gzip
import lzma
import tracemalloc
from pathlib import Path

import pytest

from throughtime.errors import DataError
from throughtime.logs.files import is_binary, lines_of, log_files


def _write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a line\n")


def test_rotated_files_are_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    names = [
        "app.log",
        "app.log.1",
        "app.log.2",
        "app.log.10",
        "db/db.log",
        "db/db.log-20260131",
        "db/db.log-20260201",
    ]
    _write(
        tmp_path,
        *names,
        "web-2026-02-01-2.log",
        "web-2026-02-01-1.log",
        "web-2026-01-31-3.log",
        ".hidden/x.log",
    )
    (tmp_path / "app.log.3.gz").write_bytes(gzip.compress(b"old\n"))
    files = log_files([tmp_path]).files
    in_order = [str(file.path.relative_to(tmp_path)) for file in files]
    assert in_order == [
        "app.log.10",
        "app.log.3.gz",
        "app.log.2",
        "app.log.1",
        "app.log",
        "db/db.log-20260131",
        "db/db.log-20260201",
        "db/db.log",
        "web-2026-01-31-3.log",
        "web-2026-02-01-1.log",
        "web-2026-02-01-2.log",
    ]
    streams = {Path(file.stream).name for file in files}
    assert streams == {"app.log", "db.log", "web.log"}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_recognised_by_their_content(tmp_path: Path, compress: object) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(compress("größer\r\nzwei".encode()))  # type: ignore[operator]
    assert not is_binary(path)
    assert list(lines_of(path)) == ["größer", "zwei"]


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "app.log.gz"
    path.write_bytes(gzip.compress(b"a line\n" * 5000)[:-12])
    with pytest.raises(DataError, match=r"app\.log\.gz cannot be decompressed"):
        list(lines_of(path))


def test_bytes_that_are_not_in_the_encoding_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"\xef\xbb\xbfna\xc3\xafve\nna\xefve\n")
    assert list(lines_of(path)) == ["naïve", "na\\xefve"]
    assert list(lines_of(path, "latin-1")) == ["naÃ¯ve", "naïve"]


def test_utf_16_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_bytes("naïve\r\nzwei\r\n".encode("utf-16"))
    assert list(lines_of(path)) == ["naïve", "zwei"]


def test_binary_files_are_refused_by_name_and_left_out_of_folders(tmp_path: Path) -> None:
    _write(tmp_path, "app.log")
    (tmp_path / "core").write_bytes(b"\x7fELF\x00\x00")
    found = log_files([tmp_path])
    assert [file.path.name for file in found.files] == ["app.log"]
    assert [path.name for path in found.skipped] == ["core"]
    with pytest.raises(DataError, match="core is a binary file"):
        log_files([tmp_path / "core"])


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no log files; give"):
        log_files([tmp_path])
    with pytest.raises(DataError, match=r"gone\.log does not exist"):
        log_files([tmp_path / "gone.log"])


def test_an_unknown_encoding_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path, "app.log")
    with pytest.raises(DataError, match=r"unknown encoding='klingon'"):
        list(lines_of(tmp_path / "app.log", "klingon"))


def test_memory_does_not_depend_on_the_number_of_lines(tmp_path: Path) -> None:
    def peak(lines: int) -> int:
        path = tmp_path / "big.log"
        path.write_bytes(b"2026-01-31 12:00:00 INFO a line of a log\n" * lines)
        tracemalloc.start()
        for _ in lines_of(path):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(50_000) < peak(2_000) + 50_000


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_bytes(b"short\n" + b"x" * (2**20 + 1))
    with pytest.raises(DataError, match=r"line 2 is longer than 1 MiB"):
        list(lines_of(path))
