"""Files that are written whole or not at all, and whether the weights in one are those of a model."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from throughtime.errors import RunError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror or error}); check the disk and permissions"
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, make it durable, rename: whoever reads ``path`` sees the old bytes or the new."""
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people to read: indented, UTF-8, with a final newline."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a `RunError` names the file and what is wrong with it."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # JSON and UTF-8 errors are both
        raise RunError(f"{path} is damaged: not JSON ({error}); restore the file or train again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: not a JSON object; restore the file or train again")
    return content


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable, where the system can (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def misfit_of(expected: Mapping[str, Tensor], got: Any) -> str | None:
    """Return the first thing in which these weights differ from what a model expects."""
    if not isinstance(got, dict):
        return "it holds no weights"
    for name in sorted(expected.keys() | got.keys()):
        if name not in got:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is not in the model"
        shape = tuple(got[name].shape) if isinstance(got[name], Tensor) else None
        if shape != tuple(expected[name].shape):
            return f"{name} has shape {shape}, the model's is {tuple(expected[name].shape)}"
    return None
