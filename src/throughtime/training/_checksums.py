"""``checksums.json``: the SHA-256 of every file of a run, checked whenever one is read.

Before a file is replaced, its new checksum is written beside the old one, and the old one is left out after
that. So whenever a training is killed, the file that is there is one of those listed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughtime._fields import Fields
from throughtime.errors import RunError
from throughtime.training._files import read_bytes, write_bytes
from throughtime.training._json import MOST_BYTES, json_object, to_json

NAME = "checksums.json"

# A training may replace a file between the reading of it and of its checksum.
_TRIES = 3

_Known = dict[str, tuple[str, ...]]


def write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a new run, and their checksums."""
    for name, data in files.items():
        write_bytes(folder / name, data)
    _write(folder, {name: (_checksum(data),) for name, data in files.items()})


def write_checked(path: Path, data: bytes) -> None:
    """Write a file of a run, atomically, over one that may be there.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    known, new = _read(path.parent), _checksum(data)
    before = known.get(path.name, ())
    if before == (new,) and path.exists():
        return
    _write(path.parent, {**known, path.name: (*(one for one in before if one != new), new)})
    write_bytes(path, data)
    _write(path.parent, {**known, path.name: (new,)})


def read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object that a file of a run holds.

    Raises
    ------
    RunError
        As `read_checked`; or if it holds anything else.
    """
    return json_object(read_checked(path, most=MOST_BYTES), path)


def read_checked(path: Path, *, most: int | None = None) -> bytes:
    """Read a file of a run, of at most ``most`` bytes.

    Raises
    ------
    RunError
        If it cannot be read, or is not what was written.
    """
    for _ in range(_TRIES):
        data = read_bytes(path, most=most)
        known = _read(path.parent).get(path.name)
        if known is not None and _checksum(data) in known:
            return data
    if known is None:
        raise RunError(
            f"{path} is not listed in {NAME}, so it was not written by the training of this run; "
            "remove it, or restore both files"
        )
    raise RunError(
        f"{path} is damaged or was changed: its SHA-256 differs from the one in {NAME}; "
        "restore the file or train again"
    )


def _read(folder: Path) -> _Known:
    path = folder / NAME
    content = json_object(read_bytes(path, most=MOST_BYTES), path)
    try:
        fields = Fields(content)
        files = fields.fields("files")
        known = {name: files.texts(name) for name in fields.mapping("files")}
        own = fields.text("sha256")
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error
    if own != _own_checksum(known):
        raise RunError(
            f"{path} is damaged (its own checksum does not match); restore the file or train again"
        )
    return known


def _write(folder: Path, known: Mapping[str, tuple[str, ...]]) -> None:
    files = {name: list(known[name]) for name in sorted(known)}
    write_bytes(folder / NAME, to_json({"files": files, "sha256": _own_checksum(known)}))


def _own_checksum(known: Mapping[str, tuple[str, ...]]) -> str:
    return _checksum(json.dumps({name: list(known[name]) for name in known}, sort_keys=True).encode())


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
