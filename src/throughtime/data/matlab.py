"""Reader of cell arrays of matrices from MATLAB .mat files (version 5 to 7), as in polyphonic music data.

Only cell arrays of real matrices are read, compressed or not. SciPy reads many more types, but a damaged file
can crash its process; this reader checks every length against the size of the file. The format is documented
in MathWorks, "MAT-File Format" (version 5).
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.data.files import most_unpacked, read_bytes
from throughtime.errors import DataError

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "<i2",
    4: "<u2",
    5: "<i4",
    6: "<u4",
    7: "<f4",
    9: "<f8",
    12: "<i8",
    13: "<u8",
}
"""Data types of stored numbers; they may be smaller than the type of the matrix, as one byte for 0 and 1."""
_CELL, _FIRST_NUMERIC, _LAST_NUMERIC = 1, 6, 15
_COMPLEX = 0x800


def read_cells(path: Path, names: Collection[str], times: int) -> dict[str, list[NDArray[Any]]]:
    """Return the matrices (T, K) of the cell arrays with these names, in their stored data type.

    Parameters
    ----------
    path
        A .mat file.
    names
        Names of variables. Others are skipped; names that are not in the file are not in the result.
    times
        Maximum compression ratio, see `throughtime.data.files.most_unpacked`.

    Raises
    ------
    DataError
        If the file is damaged or has another version, or if one of these variables is not a cell array of
        real matrices.
    """
    raw = memoryview(read_bytes(path))
    try:
        return dict(_cells(raw, names, times))
    except (ValueError, struct.error, zlib.error) as error:
        raise DataError(f"{path} cannot be read as .mat ({error}); restore or convert the file") from error


def _cells(raw: memoryview, names: Collection[str], times: int) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    _require_version(raw)
    most = most_unpacked(len(raw), times)
    at = _HEADER
    while at < len(raw):
        kind, content, at = _element(raw, at)
        if kind == _COMPRESSED:
            packed = zlib.decompressobj()
            unpacked = packed.decompress(content, most + 1)
            most -= len(unpacked)
            if most < 0:
                raise ValueError(
                    f"it unpacks to more than {times} times its size; save it without compression"
                )
            if not packed.eof:
                raise ValueError("compressed data is cut short")
            kind, content, _ = _element(memoryview(unpacked), 0)
        if kind != _MATRIX:
            raise ValueError(f"a variable is an element of type {kind}, expected {_MATRIX}")
        flags, shape, name, rest = _header_of(content)
        if name in names:
            if flags & 0xFF != _CELL:
                raise ValueError(
                    f"{name} is a variable of class {flags & 0xFF}, expected a cell array ({_CELL})"
                )
            yield name, list(_matrices(rest, math.prod(shape), name))


def _require_version(raw: memoryview) -> None:
    if len(raw) < _HEADER:
        raise ValueError(f"it has {len(raw)} bytes, fewer than the {_HEADER} of a header")
    version, order = raw[124:126].tobytes(), raw[126:128].tobytes()
    if order == b"IM" and version[1] == 2:
        raise ValueError("version 7.3, which is HDF5, is not read; save it with -v7")
    if order != b"IM" or version[1] != 1:
        raise ValueError("it is not a little-endian MAT-file of version 5 to 7; save it with -v7")


def _element(data: memoryview, at: int) -> tuple[int, memoryview, int]:
    """Return type and content of the element that starts at ``at``, and the start of the next one."""
    if at + 8 > len(data):
        raise ValueError("it is cut short")
    kind, size = struct.unpack_from("<II", data, at)
    start = at + 8
    if kind >> 16:  # small element: size and type in one word, followed by four bytes of content
        kind, size, start = kind & 0xFFFF, min(kind >> 16, 4), at + 4
    end = start + size
    if end > len(data):
        raise ValueError("it is cut short, or a length in it is wrong")
    # Elements start at multiples of 8 bytes, except after a compressed element.
    following = end if kind == _COMPRESSED else at + -(-(end - at) // 8) * 8
    return kind, data[start:end], following


def _header_of(matrix: memoryview) -> tuple[int, tuple[int, ...], str, memoryview]:
    """Return flags, shape, name and the remaining bytes of a matrix."""
    parts, at = [], 0
    for expected in (_UINT32, _INT32, _INT8):
        kind, content, at = _element(matrix, at)
        if kind != expected:
            raise ValueError(
                f"the description of a matrix has an element of type {kind}, expected {expected}"
            )
        parts.append(content)
    if len(parts[0]) != 8 or len(parts[1]) % 4:
        raise ValueError("the description of a matrix has a wrong length")
    flags = int(np.frombuffer(parts[0], "<u4")[0])
    shape = tuple(np.frombuffer(parts[1], "<i4").tolist()) if len(parts[1]) else ()
    if any(size < 0 for size in shape):
        raise ValueError(f"a matrix has the shape {shape}")
    return flags, shape, parts[2].tobytes().decode("latin-1"), matrix[at:]


def _matrices(cells: memoryview, count: int, name: str) -> Iterator[NDArray[Any]]:
    at = 0
    for number in range(1, count + 1):
        kind, content, at = _element(cells, at)
        if kind != _MATRIX:
            raise ValueError(f"cell {number} of {name} is an element of type {kind}, expected {_MATRIX}")
        flags, shape, _, values = _header_of(content)
        numeric = _FIRST_NUMERIC <= flags & 0xFF <= _LAST_NUMERIC
        if not numeric or flags & _COMPLEX or len(shape) != 2:
            raise ValueError(f"cell {number} of {name} is not a real matrix")
        kind, content, _ = _element(values, 0)
        if kind not in _NUMBERS:
            raise ValueError(
                f"cell {number} of {name} has numbers of type {kind}, which is not a type of the format"
            )
        if len(content) != math.prod(shape) * np.dtype(_NUMBERS[kind]).itemsize:
            raise ValueError(
                f"cell {number} of {name} has {len(content)} bytes, which does not match its shape {shape}"
            )
        yield np.frombuffer(content, _NUMBERS[kind]).reshape(shape, order="F")
