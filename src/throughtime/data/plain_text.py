"""Reader of text files, plain or compressed with gzip."""

import gzip
import io
import zlib
from pathlib import Path

from throughtime.data.files import most_unpacked, read_bytes
from throughtime.data.tables import decode
from throughtime.errors import DataError

_CHUNK_SIZE = 2**20


def read_text(path: Path) -> str:
    r"""Read a UTF-8 text file; a file with the suffix .gz is decompressed.

    Raises
    ------
    DataError
        If the file is missing, empty, or not UTF-8 (the message gives the byte); if it is a pipe or a device,
        has 2 GiB or more, or unpacks to more than 100 times its size.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "plays.txt"
    ...     _ = path.write_text("To be")
    ...     read_text(path)
    'To be'
    """
    raw = read_bytes(path)
    if path.suffix.lower() == ".gz" and raw:
        raw = _unpacked(raw, path)
    if not raw:
        raise DataError(f"{path} is empty; give a text")
    return decode(raw, str(path))


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
