"""Atomic writing and checked reading of files; errors name the file."""

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from throughtime.data.files import regular_file
from throughtime.errors import DataError, RunError

_flushes: ContextVar[bool] = ContextVar("_flushes", default=True)


@contextlib.contextmanager
def without_flush() -> Iterator[None]:
    """Do not flush files to disk while they are written: for temporary runs, whose loss is no harm."""
    token = _flushes.set(False)
    try:
        yield
    finally:
        _flushes.reset(token)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise a failed write as a `RunError` that names the file."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            raise RunError(
                f"{path} cannot be written: the folder {path.parent} was deleted or renamed; restore it"
            ) from error
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}); check the disk and permissions"
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: write a temporary file, flush it to disk, and rename it to ``path``.

    If this fails, the temporary file is removed, which matters on a full disk.
    """
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                if _flushes.get():
                    file.flush()
                    os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def read_bytes(path: Path, *, most: int | None = None) -> bytes:
    """Read a regular file of at most ``most`` bytes, or raise a `RunError`."""
    try:
        with regular_file(path) as (file, size):
            if most is not None and size > most:
                raise RunError(
                    f"{path} is damaged: it has {size:,} bytes, but at most {most:,} are allowed; "
                    "restore the file or train again"
                )
            return file.read(size)
    except DataError as error:
        raise RunError(str(error)) from error
    except MemoryError as error:
        raise RunError(f"{path} does not fit into memory; restore the file") from error


def sync_folder(folder: Path) -> None:
    """Flush renames within a folder to disk (not supported on Windows)."""
    if os.name != "posix" or not _flushes.get():
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
