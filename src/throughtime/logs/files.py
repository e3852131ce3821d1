"""Log files: finding them in folders, ordering rotated files, and reading lines."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from throughtime._options import named
from throughtime.errors import DataError

MOST_CHARACTERS = 2**20
"""Maximum length of a line in bytes (in characters for UTF-16)."""
STDIN = "-"
"""Name of the standard input among the paths of a command."""

L = TypeVar("L", str, bytes)
_HEAD = 8192
_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PACKED_NAME = re.compile(r"\.(gz|bz2|xz)$", re.IGNORECASE)
_NUMBERED = re.compile(r"^(?P<base>.+?)\.(?P<number>\d{1,4})$")
_DATED = re.compile(
    r"^(?P<before>.*?)[-_.]?(?P<date>(?:19|20)\d{2}[-_.]?\d{2}[-_.]?\d{2}(?:[-_.T]?\d{2}){0,3})(?!\d)"
    r"(?:[-_.](?P<number>\d{1,4})(?!\d))?(?P<after>.*)$"
)


@dataclass(frozen=True)
class LogFile:
    """A file of log lines.

    Parameters
    ----------
    path : Path
        The file.
    stream : str
        Name of the log, which its rotated files share.
    name : str
        Name of the file in reports.
    """

    path: Path
    stream: str
    name: str


@dataclass(frozen=True)
class LogFiles:
    """Log files in the order in which they were written.

    Parameters
    ----------
    files : tuple of LogFile
        Files of the same stream follow each other, the oldest first.
    skipped : tuple of Path
        Binary files in folders.
    """

    files: tuple[LogFile, ...]
    skipped: tuple[Path, ...] = ()


def log_files(paths: Sequence[Path]) -> LogFiles:
    """Return the log files among paths and, recursively, in folders.

    Rotated files are put in order: ``app.log.2.gz``, ``app.log.1``, ``app.log``; and by the date in their
    name, such as ``app.log-20260131`` or ``app-2026-01-31-1.log``. Hidden and empty files in
    folders are ignored, and binary files are listed in ``skipped``.

    Raises
    ------
    DataError
        If a path does not exist, is a binary file, or there is no log file.
    """
    files: list[Path] = []
    skipped: list[Path] = []
    for path in paths:
        if path.is_dir():
            for inner in _in_folder(path):
                (skipped if is_binary(inner) else files).append(inner)
        elif not path.exists():
            raise DataError(f"{path} does not exist; give a log file or a folder of log files")
        else:
            require_text(path)
            files.append(path)
    if not files:
        raise DataError(
            f"{', '.join(map(str, paths))}: no log files{_of_skipped(skipped)}; give files of text lines"
        )
    return LogFiles(
        tuple(LogFile(path, stream_of(path), str(path)) for path in ordered(files)), tuple(skipped)
    )


def ordered(paths: Iterable[Path]) -> list[Path]:
    """Return paths in the order in which their files were written, logs by name, each path once."""
    return sorted(dict.fromkeys(paths), key=_order)


def _of_skipped(skipped: Sequence[Path]) -> str:
    return f", only binary ones such as {skipped[0]}" if skipped else ""


def _in_folder(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and path.stat().st_size:
            yield path


def stream_of(path: Path) -> str:
    """Return the path of the log that a rotated file belongs to.

    Examples
    --------
    >>> names = ("app.log.2.gz", "app.log-20260131", "app-2026-01-31-1.log", "db.log")
    >>> [stream_of(Path(name)) for name in names]
    ['app.log', 'app.log', 'app.log', 'db.log']
    """
    return str(path.with_name(_rotation(path.name)[0]))


def _order(path: Path) -> tuple[str, tuple[int, str, int], str]:
    base, age = _rotation(path.name)
    return str(path.with_name(base)), age, path.name


def _rotation(name: str) -> tuple[str, tuple[int, str, int]]:
    """Return the name of the log that a file belongs to, and its place among the files of that log."""
    plain = _PACKED_NAME.sub("", name)
    dated = _DATED.match(plain)
    if dated is not None:
        base = dated["before"] + dated["after"]
        date = re.sub(r"\D", "", dated["date"])
        return base or plain, (0, date, int(dated["number"] or 0))
    numbered = _NUMBERED.match(plain)
    if numbered is not None:
        return numbered["base"], (1, "", -int(numbered["number"]))
    return plain, (2, "", 0)


def is_binary(path: Path) -> bool:
    """Return whether the first bytes of a file, decompressed, contain a zero byte and are not UTF-16."""
    head = _head(path)
    return b"\x00" in head and not head.startswith(_WIDE)


def require_text(path: Path) -> None:
    """Check that a file is a text file.

    Raises
    ------
    DataError
        If it is binary.
    """
    if is_binary(path):
        raise DataError(
            f"{path} is a binary file (a zero byte in its first {_HEAD:,} bytes); give a file of text "
            "lines, or decompress it (gzip, bzip2 and xz are read as they are)"
        )


def _head(path: Path) -> bytes:
    with _decompressing(path), open_bytes(path) as stream:
        return stream.read(_HEAD)


@contextmanager
def _decompressing(path: Path) -> Iterator[None]:
    """Turn errors of compressed files into errors that name the file."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} cannot be decompressed ({error}); restore the file") from error
    except OSError as error:
        if error.errno is None:  # from bz2, or of another damage
            raise DataError(f"{path} cannot be decompressed ({error}); restore the file") from error
        raise


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed if its first bytes are those of gzip, bzip2 or xz."""
    stream = path.open("rb")
    head = stream.read(6)
    stream.seek(0)
    for magic, opened in _PACKED.items():
        if head.startswith(magic):
            stream.close()
            return opened(path, "rb")  # type: ignore[operator, no-any-return]
    return stream


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    r"""Yield the lines of a file without line ends, in constant memory.

    Bytes that are invalid in the encoding are replaced by escapes such as ``\xff``. A byte order mark of
    UTF-8 or UTF-16 takes precedence over the encoding.

    Raises
    ------
    DataError
        If the file cannot be decompressed, the encoding is unknown, or a line is longer than 1 MiB.
    """
    with _decompressing(path), open_bytes(path) as stream:
        yield from decoded_lines(stream, str(path), encoding)


def decoded_lines(stream: IO[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a stream of bytes; see `lines_of`."""
    _require_encoding(encoding)
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
    head = buffered.peek(4)[:4]
    if head.startswith(_WIDE):
        text = io.TextIOWrapper(buffered, "utf-16", errors="backslashreplace", newline="\n")
        try:
            for wide in _limited(partial(text.readline, MOST_CHARACTERS + 1), name):
                yield wide.rstrip("\r\n")
        finally:
            text.detach()
        return
    for number, line in enumerate(_limited(partial(buffered.readline, MOST_CHARACTERS + 1), name)):
        raw = line.removeprefix(codecs.BOM_UTF8) if not number else line
        yield raw.decode(encoding, "backslashreplace").rstrip("\r\n")


def _limited(readline: Callable[[], L], name: str) -> Iterator[L]:
    """Yield lines until the end of a file; raises DataError for a line that is too long."""
    number = 0
    while line := readline():
        number += 1
        if len(line) > MOST_CHARACTERS:
            raise DataError(
                f"{name}: line {number:,} is longer than {MOST_CHARACTERS / 2**20:g} MiB; give a log with "
                "a line for each event"
            )
        yield line


def _require_encoding(encoding: str) -> None:
    try:
        known = codecs.lookup(encoding)
    except LookupError:
        raise DataError(
            f"unknown {named('encoding', encoding)}; give one of Python's, such as latin-1"
        ) from None
    if known.name.startswith(("utf-16", "utf-32")):
        raise DataError(
            f"{named('encoding', encoding)}: UTF-16 is recognised by its byte order mark; leave the option "
            "out, or convert the files to UTF-8"
        )


@contextmanager
def spooled(stream: IO[bytes], name: str) -> Iterator[LogFile]:
    """Copy a stream, such as the standard input, to a temporary file, which can be read twice."""
    with tempfile.TemporaryDirectory(prefix="throughtime-") as folder:
        path = Path(folder) / "log"
        with path.open("wb") as file:
            shutil.copyfileobj(stream, file)
        require_text(path)
        yield LogFile(path, name, name)
