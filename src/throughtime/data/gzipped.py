"""Reading of files that may be compressed with gzip, with a limit against decompression bombs."""

import gzip
import io
import zlib
from pathlib import Path

from throughtime.data.encoding import to_utf8
from throughtime.data.files import most_unpacked, read_bytes
from throughtime.errors import DataError

_CHUNK_SIZE = 2**20


def read_content(path: Path) -> bytes:
    """Return the content of a file; a file with the suffix .gz is decompressed.

    Raises
    ------
    DataError
        As `throughtime.data.files.read_bytes`, or if the file is not gzip or unpacks to more than 100 times
        its size.
    """
    raw = read_bytes(path)
    return _unpacked(raw, path) if path.suffix.lower() == ".gz" and raw else raw


def read_utf8(path: Path, encoding: str = "utf-8") -> bytes:
    """Return the content of a text file as UTF-8 bytes without a byte order mark, decompressed as necessary.

    Raises
    ------
    DataError
        As `read_content`, or if the file is empty or does not have this encoding.
    """
    raw = to_utf8(read_content(path), str(path), encoding)
    if not raw:
        raise DataError(f"{path} is empty; give a file with rows")
    return raw


def _unpacked(packed: bytes, path: Path) -> bytes:
    most = most_unpacked(len(packed))
    chunks, total = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            while total <= most and (chunk := file.read(_CHUNK_SIZE)):
                chunks.append(chunk)
                total += len(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as gzip ({error}); restore the file") from error
    if total > most:
        raise DataError(
            f"{path} unpacks to more than {most / 2**20:,.0f} MiB, the limit for its size; unpack it and "
            "give the unpacked file"
        )
    return b"".join(chunks)
