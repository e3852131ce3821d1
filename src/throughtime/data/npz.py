"""Readers of arrays from .npz and .npy files, without pickle; a shape is checked against the stored bytes.

`numpy.load` reserves memory for any shape that a file declares, and passes on the exceptions of zipfile, zlib
and Python's parser for a damaged file.
"""

import contextlib
import io
import math
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from throughtime.data.columns import short
from throughtime.data.files import most_unpacked, read_bytes
from throughtime.errors import DataError

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NUMBERS = "biuf"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_arrays(path: Path, names: Collection[str], times: int) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return the names of all arrays in a file, and the arrays among ``names`` that it has.

    Parameters
    ----------
    path
        A .npz file.
    names
        Names of the arrays to read.
    times
        Maximum compression ratio, see `throughtime.data.files.most_unpacked`.

    Raises
    ------
    DataError
        If the file is damaged or exceeds the ratio, or if an array has a dtype other than real numbers.
    """
    with _readable(path, "numpy.savez"):
        return _arrays(read_bytes(path), names, times, _NUMBERS)


def read_all_arrays(path: Path, times: int) -> dict[str, NDArray[Any]]:
    """Return all arrays in a .npz file; they may hold numbers or text (``U``).

    Raises
    ------
    DataError
        As `read_arrays`.
    """
    with _readable(path, "numpy.savez"):
        return _arrays(read_bytes(path), None, times, _NUMBERS + "U")[1]


def read_array(path: Path) -> NDArray[Any]:
    """Return the array of real numbers in a .npy file.

    Raises
    ------
    DataError
        If the file is damaged, or the array has another dtype.
    """
    with _readable(path, "numpy.save"):
        return _array(read_bytes(path), "it", _NUMBERS)


@contextlib.contextmanager
def _readable(path: Path, writer: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and the header parser raise undocumented exceptions
        reason = short(str(error)) or type(error).__name__
        kind = path.suffix.lower()
        raise DataError(f"{path} cannot be read as {kind} ({reason}); write it with {writer}") from error


def _arrays(
    raw: bytes, names: Collection[str] | None, times: int, kinds: str
) -> tuple[list[str], dict[str, NDArray[Any]]]:
    most = most_unpacked(len(raw), times)
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        present = [name.removesuffix(".npy") for name in archive.namelist()]
        for name in present if names is None else names:
            if name not in present:
                continue
            entry = archive.getinfo(f"{name}.npy")
            most -= entry.file_size
            if most < 0:
                raise ValueError(f"it unpacks to more than {times} times its size")
            if entry.compress_type not in _METHODS:
                raise ValueError(f"{name} has compression method {entry.compress_type}, expected 0 or 8")
            with archive.open(entry) as file:
                arrays[name] = _array(file.read(entry.file_size), name, kinds)
    return present, arrays


def _array(raw: bytes, name: str, kinds: str) -> NDArray[Any]:
    file = io.BytesIO(raw)
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} has version {version} of the format, expected (1, 0) or (2, 0)")
    shape, in_fortran_order, dtype = _HEADERS[version](file)
    if dtype.kind not in kinds:
        expected = "real numbers" if kinds == _NUMBERS else "real numbers or text"
        raise ValueError(f"{name} has dtype {dtype}, expected {expected}")
    size, stored = math.prod(shape) * dtype.itemsize, len(raw) - file.tell()
    if min(shape, default=0) < 0 or size != stored:
        raise ValueError(f"{name} is {shape} of {dtype}, which takes {size} bytes; it has {stored}")
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(raw, dtype, offset=file.tell()).reshape(
        shape, order="F" if in_fortran_order else "C"
    )
