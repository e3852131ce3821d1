"""Files that are written whole or not at all, and read with errors that name them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from throughtime.data.files import regular_file
from throughtime.errors import DataError, RunError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into one line that names the file."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            raise RunError(
                f"{path} cannot be written: the folder {path.parent} was deleted or renamed"
            ) from error
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}); check the disk and permissions"
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, make it durable, rename: whoever reads ``path`` sees the old bytes or the new.

    What was written beside is removed when that fails, so that it does not fill a full disk.
    """
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def read_bytes(path: Path, *, most: int | None = None) -> bytes:
    """Read a regular file of at most ``most`` bytes; a `RunError` names it and what is wrong with it."""
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
    """Make renames within a folder durable, where the system can (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
