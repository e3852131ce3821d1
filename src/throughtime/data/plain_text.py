"""Running text out of files: plain, or compressed by gzip."""

import gzip
import zlib
from pathlib import Path

from throughtime.data.tables import decode
from throughtime.errors import DataError


def read_text(path: Path) -> str:
    r"""Read a file as UTF-8, through gzip where its suffix is .gz.

    Raises
    ------
    DataError
        If it is missing, empty, or not UTF-8 to its end; it says at which byte.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "plays.txt"
    ...     _ = path.write_text("To be")
    ...     read_text(path)
    'To be'
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; give a text file")
    if path.is_dir():
        raise DataError(f"{path} is a folder; give a text file")
    raw = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} cannot be read as gzip ({error}); restore the file") from error
    if not raw:
        raise DataError(f"{path} is empty; give a text")
    return decode(raw, str(path))
