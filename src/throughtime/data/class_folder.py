"""Reader of a folder with one subfolder per class, each with a text per file."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from throughtime.data.columns import with_columns
from throughtime.data.encoding import to_utf8
from throughtime.data.files import read_bytes
from throughtime.data.read_options import ReadOptions
from throughtime.data.table import Table
from throughtime.data.typed_column import typed_column
from throughtime.errors import DataError


def read_class_folder(path: Path, options: ReadOptions) -> Table:
    """Read each file as a ``text`` whose ``label`` is the name of the subfolder, except hidden files."""
    files = files_of_classes(path)
    texts = [to_utf8(read_bytes(file), str(file), options.encoding).decode() for _, file in files]
    labels = [label for label, _ in files]
    content = pa.table({"text": typed_column(texts, "text", str), "label": labels})
    return Table(
        with_columns(content, path, options.columns), str(path), places=[str(file) for _, file in files]
    )


def files_of_classes(path: Path) -> list[tuple[str, Path]]:
    """Return the class and path of each file, in the order of their names.

    Raises
    ------
    DataError
        If there are files beside the class folders, or none in them, or if a folder cannot be read.
    """
    try:
        files = list(_walk(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    if not files:
        raise DataError(f"{path} holds no files in subfolders; give a folder with one subfolder per class")
    return files


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            raise DataError(
                f"{entry} is a file, but {path} must have only class folders; move it into one of them or "
                "elsewhere"
            )
        if not _is_utf8(entry.name):
            raise DataError(f"the name of the class folder {entry} is not UTF-8; rename it")
        for file in sorted(entry.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                yield entry.name, file


def _is_utf8(name: str) -> bool:
    """Return whether a file name is UTF-8; Python represents other bytes as unpaired surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
