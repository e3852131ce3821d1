"""Reader of text files, plain or compressed with gzip."""

import io
from pathlib import Path

from throughtime.data.encoding import decode
from throughtime.data.gzipped import read_content
from throughtime.errors import DataError


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
    raw = read_content(path)
    if not raw:
        raise DataError(f"{path} is empty; give a text")
    return decode(raw, str(path))


def lines_of(text: str) -> list[str]:
    r"""Split at line feeds and carriage returns only; `str.splitlines` splits at more characters.

    Examples
    --------
    >>> lines_of("to be\r\nor\x0cnot\n")
    ['to be', 'or\x0cnot']
    """
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]
