"""Reading of whole files as bytes. Devices, pipes and files of 2 GiB or more are rejected before reading."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from throughtime.errors import DataError

LARGEST = 2**31 - 2
"""Maximum size of a file in bytes: all data is in memory, and Arrow stores block sizes in 32 bits."""

_MIN_UNPACKED_LIMIT = 2**25
_CHUNK_SIZE = 2**20

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def size_of(path: Path) -> int:
    """Return the size of a regular file in bytes.

    Raises
    ------
    DataError
        If it does not exist, or is a folder, a device, a pipe or a socket.

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
    """Open a regular file for reading, and yield it with its size in bytes.

    The size is taken from the open file, so replacing the file under its name does not change it.

    Raises
    ------
    DataError
        As `size_of`, or if the file cannot be read.

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
        As `regular_file`, or if it is larger than `LARGEST`.
    """
    with regular_file(path) as (file, size):
        if size > LARGEST:
            raise DataError(
                f"{path} has {size / 2**30:.1f} GiB; files of 2 GiB or more are not read, because all data "
                "is kept in memory; split the file"
            )
        return file.read(size)


def read_stream(stream: BinaryIO, name: str) -> bytes:
    """Read a stream, such as standard input, to its end.

    Raises
    ------
    DataError
        If it has more than `LARGEST` bytes.

    Examples
    --------
    >>> import io
    >>> read_stream(io.BytesIO(b"to be"), "standard input")
    b'to be'
    """
    chunks, total = [], 0
    while chunk := stream.read(_CHUNK_SIZE):
        chunks.append(chunk)
        total += len(chunk)
        if total > LARGEST:
            raise DataError(f"{name} has more than 2 GiB, but all data is kept in memory; give less data")
    return b"".join(chunks)


def most_unpacked(size: int, times: int = 100) -> int:
    """Return the limit of the unpacked size of a file of ``size`` bytes: ``times`` as much, at least 32 MiB.

    Compression shrinks texts to a third or a tenth, and logs to a fiftieth. The limit protects against
    decompression bombs.

    Examples
    --------
    >>> most_unpacked(1000) == 2**25, most_unpacked(10**6) == 10**8
    (True, True)
    """
    return min(max(times * size, _MIN_UNPACKED_LIMIT), LARGEST)


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return DataError(f"{path} cannot be read: {reason}; check its name and permissions")
