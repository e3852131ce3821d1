"""Running text out of files: plain, or compressed by gzip."""

import gzip
import io
import zlib
from pathlib import Path

from throughtime.data.files import most_unpacked, read_bytes
from throughtime.data.tables import decode
from throughtime.errors import DataError

_PART = 2**20


def read_text(path: Path) -> str:
    r"""Read a file as UTF-8, through gzip where its suffix is .gz.

    Raises
    ------
    DataError
        If it is missing, empty, or not UTF-8 to its end; it says at which byte. If it is no file but a pipe
        or a device, is too large to keep in memory, or unpacks to more than 100 times its size.

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
    parts, total = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            while total <= most and (part := file.read(_PART)):
                parts.append(part)
                total += len(part)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as gzip ({error}); restore the file") from error
    if total > most:
        raise DataError(
            f"{path} unpacks to more than {most / 2**20:,.0f} MiB, which is not read; unpack it and give the "
            "text as it is"
        )
    return b"".join(parts)
