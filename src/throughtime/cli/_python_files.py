"""Python files as input of a command: a file, a folder of them, or standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

from throughtime.data.encoding import decode
from throughtime.data.files import read_bytes, read_stream
from throughtime.errors import DataError


def python_files(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and content of each file."""
    if str(data) == "-":
        yield "-", decode(read_stream(sys.stdin.buffer, "standard input"), "standard input")
        return
    if data.is_dir():
        files = sorted(data.rglob("*.py"))
        if not files:
            raise DataError(f"{data} holds no .py files; give a Python file or a folder of them")
    elif data.exists():
        files = [data]
    else:
        raise DataError(f"{data} does not exist; give a Python file or a folder of them")
    for file in files:
        yield str(file), decode(read_bytes(file), str(file))


@contextmanager
def unreadable(name: str) -> Iterator[None]:
    """Turn a syntax error of Python into an error that names the file."""
    try:
        yield
    except (SyntaxError, TokenError) as error:
        raise DataError(f"{name}: Python cannot parse it ({_reason(error)}); fix the file") from error


def _reason(error: SyntaxError | TokenError) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    return ", ".join(str(part) for part in error.args)
