"""`Tail`: the lines of a log file as they are written, through rotation and restarts."""

import hashlib
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from throughtime.errors import DataError
from throughtime.logs.files import MOST_CHARACTERS, open_bytes, ordered, stream_of

_HEAD = 1024
_CHUNK = 2**20


class TailLine(NamedTuple):
    """A whole line, its number in its file, and where it ends.

    Parameters
    ----------
    text : bytes
        Without the line end.
    number : int
        From 1.
    end : int
        Bytes of the file up to its end.
    """

    text: bytes
    number: int
    end: int


@dataclass(frozen=True)
class Position:
    """A place in a log file, which is recognised by its first bytes wherever it is renamed to.

    Parameters
    ----------
    offset : int
        Bytes before the place, decompressed.
    line : int
        Number of lines before it.
    head_bytes : int
        Number of first bytes in ``head``.
    head : str
        SHA-256 of the first bytes.
    """

    offset: int = 0
    line: int = 0
    head_bytes: int = 0
    head: str = ""


class Tail:
    """Reader of the whole lines of a log that is being written.

    A file that is renamed is read to its end before the new one of its name; so is a copy of a file that is
    truncated. After a restart the file is searched among the rotated ones, compressed ones included.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.
    position : Position, optional
        Where to begin; by default at the beginning.
    """

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self.path = path
        self.moved = False
        """Whether the file of the position was not found, so that lines may have been lost."""
        self._waiting: deque[tuple[Path, int, int]] = deque()
        self._file: IO[bytes] | None = None
        self._identity: tuple[int, int] | None = None
        self._head = b""
        self._rest = b""
        self._offset = self._line = 0
        if position is not None and position.offset:
            self._waiting.extend(self._located(position))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def position(self, line: TailLine) -> Position:
        """Return the place after a line of the current file."""
        head = self._head[: line.end]
        return Position(line.end, line.number, len(head), hashlib.sha256(head).hexdigest())

    def read(self) -> list[TailLine]:
        """Return the whole lines that have been written since the last call, of one file at most.

        Raises
        ------
        DataError
            If a line is longer than 1 MiB.
        """
        if self._file is None and not self._open_next():
            return []
        chunk = self._read()
        if chunk:
            return self._split(chunk)
        if self._is_over():
            last = self._unfinished()
            self._go_on()
            return last
        return []

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        chunk = self._file.read(_CHUNK)
        if len(self._head) < _HEAD:
            self._head += chunk[: _HEAD - len(self._head)]
        return chunk

    def _split(self, chunk: bytes) -> list[TailLine]:
        whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if len(self._rest) > MOST_CHARACTERS:
            raise DataError(
                f"{self.path}: line {self._line + 1:,} is longer than {MOST_CHARACTERS / 2**20:g} MiB; "
                "give a log with a line for each event"
            )
        return [self._taken(line, 1) for line in whole.split(b"\n")] if newline else []

    def _taken(self, line: bytes, end: int) -> TailLine:
        self._offset += len(line) + end
        self._line += 1
        return TailLine(line.removesuffix(b"\r"), self._line, self._offset)

    def _unfinished(self) -> list[TailLine]:
        """Return the last line of a file that is not written any more, if it has no end."""
        rest, self._rest = self._rest, b""
        return [self._taken(rest, 0)] if rest else []

    def _is_over(self) -> bool:
        """Return whether another file has the name of the current one, or the current one was truncated."""
        if self._waiting:
            return True
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return False
        if (status.st_dev, status.st_ino) == self._identity:
            return status.st_size < self._offset
        return status.st_size > 0  # until the new file has a line, the old one may be written to

    def _go_on(self) -> None:
        """Continue with what was written after the current file, after the rest of a copy of it."""
        if self._waiting:
            self.close()
            return
        head = self._head[: min(len(self._head), self._offset)]
        position = Position(self._offset, self._line, len(head), hashlib.sha256(head).hexdigest())
        self.close()
        self._waiting.extend(self._located(position))
        self.moved = False  # the current file was read to its end

    def _located(self, position: Position) -> list[tuple[Path, int, int]]:
        """Return the files from a position on, each with the bytes and lines before that."""
        stream = stream_of(self.path)
        siblings = self.path.parent.glob("*") if self.path.parent.is_dir() else ()
        files = ordered(path for path in siblings if path.is_file() and stream_of(path) == stream)
        for number in reversed(range(len(files))):
            if _has_head(files[number], position):
                return [
                    (files[number], position.offset, position.line),
                    *((p, 0, 0) for p in files[number + 1 :]),
                ]
        self.moved = True
        return [(self.path, 0, 0)]

    def _open_next(self) -> bool:
        path, offset, line = self._waiting.popleft() if self._waiting else (self.path, 0, 0)
        try:
            self._file = open_bytes(path)
            status = path.stat()
        except FileNotFoundError:
            self._file = None
            return False
        self._identity = status.st_dev, status.st_ino
        self._head = self._file.read(min(_HEAD, offset))
        self._file.seek(offset)
        self._offset, self._line, self._rest = offset, line, b""
        return True


def _has_head(path: Path, position: Position) -> bool:
    """Return whether a file begins with the bytes of a position, and is as long."""
    try:
        with open_bytes(path) as file:
            head = file.read(position.head_bytes)
            if len(head) < position.head_bytes or hashlib.sha256(head).hexdigest() != position.head:
                return False
            file.seek(max(0, position.offset - 1))
            return position.offset == 0 or bool(file.read(1))
    except (OSError, EOFError):
        return False


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside a path and rename it, so that the old or the new content is there at all times."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
