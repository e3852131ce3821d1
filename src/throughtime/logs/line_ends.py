"""`LineEnds`: where the lines of a file end and how they are encoded, from the first bytes of the file."""

import codecs
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

_WIDE = {codecs.BOM_UTF16_LE: ("utf-16-le", "<u2"), codecs.BOM_UTF16_BE: ("utf-16-be", ">u2")}


@dataclass(frozen=True)
class LineEnds:
    r"""Encoding of a file, and the line feeds in its bytes.

    Parameters
    ----------
    encoding : str
        Name of the encoding.
    unit : str or None
        Data type of a code unit of UTF-16; None for encodings in which a line feed is the byte ``\n``.
    mark : bytes
        Byte order mark at the beginning of the file.

    Examples
    --------
    >>> ends = LineEnds.of("ab\ncd".encode("utf-16"), "utf-8")
    >>> lines, rest = ends.split("ab\ncd".encode("utf-16"))
    >>> [ends.text(line, first=True) for line in lines], ends.text(rest)
    (['ab'], 'cd')
    """

    encoding: str
    unit: str | None = None
    mark: bytes = b""

    @classmethod
    def of(cls, head: bytes, encoding: str) -> Self:
        """Return those of a file from its first bytes; a byte order mark takes precedence."""
        wide = _WIDE.get(head[:2])
        if wide is not None:
            return cls(*wide, head[:2])
        return cls(encoding, mark=codecs.BOM_UTF8 if head.startswith(codecs.BOM_UTF8) else b"")

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the complete lines of bytes that begin with a line, with their line ends, and the rest."""
        if self.unit is None:
            *lines, rest = data.split(b"\n")
            return [line + b"\n" for line in lines], rest
        units = np.frombuffer(data[: len(data) // 2 * 2], self.unit)
        ends = [0, *((np.flatnonzero(units == ord("\n")) + 1) * 2).tolist()]
        lines = [data[start:end] for start, end in pairwise(ends)]
        return lines, data[ends[-1] :]

    def text(self, line: bytes, *, first: bool = False) -> str:
        """Return a line as text without its line end; the first line of the file without byte order mark."""
        data = line.removeprefix(self.mark) if first else line
        return data.decode(self.encoding, "backslashreplace").rstrip("\r\n")
