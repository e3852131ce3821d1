"""Whole files as bytes. Devices, pipes and files too large for memory are refused before they are read."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from throughtime.errors import DataError

LARGEST = 2**31 - 2
"""Bytes of a file at most: all data is kept in memory, and Arrow counts the bytes of a block in 32 bits."""

_UNPACKED_ANYWAY = 2**25
_PART = 2**20

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def size_of(path: Path) -> int:
    """Return the number of bytes of a regular file.

    Raises
    ------
    DataError
        If there is none, or it is a folder, a device, a pipe or a socket.

    Examples
    --------
    >>> size_of(Path("/dev/null"))
    Traceback (most recent call last):
    throughtime.errors.DataError: /dev/null is a device, not a file; save its content to a file and give that
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path} does not exist; give a file") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is not None:
        instead = "give a file" if kind == "a folder" else "save its content to a file and give that"
        raise DataError(f"{path} is {kind}, not a file; {instead}")
    return status.st_size


@contextlib.contextmanager
def regular_file(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading, and give it out with its number of bytes.

    The size is that of the file opened, which may have replaced another one a moment ago.

    Raises
    ------
    DataError
        As `size_of`; or if it cannot be read.

    Examples
    --------
    >>> with regular_file(Path("/dev/zero")) as (file, size):
    ...     content = file.read(size)
    Traceback (most recent call last):
    throughtime.errors.DataError: /dev/zero is a device, not a file; save its content to a file and give that
    """
    size_of(path)
    try:
        with path.open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    DataError
        As `regular_file`; or if it is larger than `LARGEST`.
    """
    with regular_file(path) as (file, size):
        if size > LARGEST:
            raise DataError(
                f"{path} has {size / 2**30:.1f} GiB; files of 2 GiB or more are not read, as all data is "
                "kept in memory; split the file"
            )
        return file.read(size)


def read_stream(stream: BinaryIO, name: str) -> bytes:
    """Return all that comes out of a stream, such as standard input.

    Raises
    ------
    DataError
        If it is more than `LARGEST`.

    Examples
    --------
    >>> import io
    >>> read_stream(io.BytesIO(b"to be"), "standard input")
    b'to be'
    """
    parts, total = [], 0
    while part := stream.read(_PART):
        parts.append(part)
        total += len(part)
        if total > LARGEST:
            raise DataError(f"{name} has more than 2 GiB, and all data is kept in memory; give less")
    return b"".join(parts)


def most_unpacked(size: int, times: int = 100) -> int:
    """Return how many bytes a compressed file of ``size`` bytes may unpack to: so many times that, or 32 MiB.

    Texts shrink to a third or a tenth, logs to a fiftieth. Files that unpack to far more are made to fill the
    memory of whoever reads them.

    Examples
    --------
    >>> most_unpacked(1000) == 2**25, most_unpacked(10**6) == 10**8
    (True, True)
    """
    return min(max(times * size, _UNPACKED_ANYWAY), LARGEST)


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    said = (error.strerror if isinstance(error, OSError) else None) or error
    return DataError(f"{path} cannot be read: {said}; check its name and permissions")
