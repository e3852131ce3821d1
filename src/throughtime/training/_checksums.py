"""``checksums.json``: the SHA-256 of every file in a run, checked on every read.

Before a file is replaced, its new checksum is added; afterwards, the old one is removed. So if a training is
killed at any time, the checksum of every file is listed.
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

# A training may replace a file after it is read and before its checksum is read.
_TRIES = 3

_Checksums = dict[str, tuple[str, ...]]


def write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a new run, and their checksums."""
    for name, data in files.items():
        write_bytes(folder / name, data)
    _write(folder, {name: (_checksum(data),) for name, data in files.items()})


def write_checked(path: Path, data: bytes) -> None:
    """Write or replace a file of a run, atomically.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    checksums, new = _read(path.parent), _checksum(data)
    old = checksums.get(path.name, ())
    if old == (new,) and path.exists():
        return
    _write(path.parent, {**checksums, path.name: (*(checksum for checksum in old if checksum != new), new)})
    write_bytes(path, data)
    _write(path.parent, {**checksums, path.name: (new,)})


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file of a run.

    Raises
    ------
    RunError
        As `read_checked`, or if the file is not a JSON object.
    """
    return json_object(read_checked(path, most=MOST_BYTES), path)


def read_checked(path: Path, *, most: int | None = None) -> bytes:
    """Read a file of a run, of at most ``most`` bytes.

    Raises
    ------
    RunError
        If it cannot be read, or its checksum does not match.
    """
    for _ in range(_TRIES):
        data = read_bytes(path, most=most)
        checksums = _read(path.parent).get(path.name)
        if checksums is not None and _checksum(data) in checksums:
            return data
    if checksums is None:
        raise RunError(
            f"{path} is not listed in {NAME}, so it was not written by the training of this run; "
            "remove it, or restore both files"
        )
    raise RunError(
        f"{path} is damaged or was changed: its SHA-256 differs from the one in {NAME}; "
        "restore the file or train again"
    )


def _read(folder: Path) -> _Checksums:
    path = folder / NAME
    content = json_object(read_bytes(path, most=MOST_BYTES), path)
    try:
        fields = Fields(content)
        files = fields.fields("files")
        checksums = {name: files.texts(name) for name in fields.mapping("files")}
        checksum_of_list = fields.text("sha256")
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error
    if checksum_of_list != _checksum_of_list(checksums):
        raise RunError(
            f"{path} is damaged (its own checksum does not match); restore the file or train again"
        )
    return checksums


def _write(folder: Path, checksums: Mapping[str, tuple[str, ...]]) -> None:
    files = {name: list(checksums[name]) for name in sorted(checksums)}
    write_bytes(folder / NAME, to_json({"files": files, "sha256": _checksum_of_list(checksums)}))


def _checksum_of_list(checksums: Mapping[str, tuple[str, ...]]) -> str:
    lists = {name: list(checksums[name]) for name in checksums}
    return _checksum(json.dumps(lists, sort_keys=True).encode())


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
