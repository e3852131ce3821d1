"""`Tail`: the lines of a log file as they are written, across rotation and restarts."""

import hashlib
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from throughtime.errors import DataError
from throughtime.logs.files import MOST_CHARACTERS, open_bytes, ordered, stream_of
from throughtime.logs.line_ends import LineEnds

_HEAD = 1024
_CHUNK = 2**20


class TailLine(NamedTuple):
    """A complete line, its number in its file, and its end.

    Parameters
    ----------
    text : str
        Without the line end. Bytes that are invalid in the encoding are replaced by escapes.
    number : int
        From 1.
    end : int
        Number of bytes of the file up to the end of the line.
    """

    text: str
    number: int
    end: int


@dataclass(frozen=True)
class Position:
    """A position in a log file, which is identified by its first bytes, also after it is renamed.

    Parameters
    ----------
    offset : int
        Number of bytes before the position, decompressed.
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
    """Reader of the complete lines of a log that is being written.

    A renamed file is read to its end before the new file of the same name, and so is the copy of a file that
    was truncated. After a restart the file is searched among the rotated files, including compressed ones.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.
    position : Position, optional
        Where to start; by default the beginning of the file.
    encoding : str
        Encoding of the file, if it has no byte order mark.
    """

    def __init__(self, path: Path, position: Position | None = None, encoding: str = "utf-8") -> None:
        self.path, self._encoding = path, encoding
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
        """Return the position after a line of the current file."""
        head = self._head[: line.end]
        return Position(line.end, line.number, len(head), hashlib.sha256(head).hexdigest())

    def read(self) -> list[TailLine]:
        """Return the complete lines written since the last call, from at most one file.

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
        lines, self._rest = self._line_ends.split(self._rest + chunk)
        if len(self._rest) > MOST_CHARACTERS:
            raise DataError(
                f"{self.path}: line {self._line + len(lines) + 1:,} is longer than "
                f"{MOST_CHARACTERS / 2**20:g} MiB; give a log with a line for each event"
            )
        return list(map(self._taken, lines))

    @property
    def _line_ends(self) -> LineEnds:
        return LineEnds.of(self._head, self._encoding)

    def _taken(self, line: bytes) -> TailLine:
        text = self._line_ends.text(line, first=self._offset == 0)
        self._offset += len(line)
        self._line += 1
        return TailLine(text, self._line, self._offset)

    def _unfinished(self) -> list[TailLine]:
        """Return the last line of a finished file, if it has no line end."""
        rest, self._rest = self._rest, b""
        return [self._taken(rest)] if rest else []

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
        """Continue with the rest of a copy of the current file, then with the next file."""
        if self._waiting:
            self.close()
            return
        head = self._head[: min(len(self._head), self._offset)]
        position = Position(self._offset, self._line, len(head), hashlib.sha256(head).hexdigest())
        self.close()
        self._waiting.extend(self._located(position))
        self.moved = False  # the current file was read to its end

    def _located(self, position: Position) -> list[tuple[Path, int, int]]:
        """Return the files from a position on, each with the number of bytes and lines to skip."""
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
    """Return whether a file begins with the bytes of a position, and is at least as long."""
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
    """Write a temporary file and rename it, so that the path always has the old or the new content."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
