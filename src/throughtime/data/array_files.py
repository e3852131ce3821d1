"""Readers of .npz and .npy files as tables of series.

An array (n, T) holds n series of T steps, and (n, C, T) series of C channels. In a .npz file ``x`` or ``X``
is the column ``series`` and ``y`` the column ``label``; other arrays of n rows are columns of their name.
With ``values`` (N,) or (N, C) and ``lengths`` (n,) the series have unequal lengths. The suffix of a part, as
in ``x_test``, ``y_test``, selects the arrays of that part; ``_train`` may be left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.data.columns import require_columns, short, shown_names, with_columns
from throughtime.data.npz import read_all_arrays, read_array
from throughtime.data.read_options import ReadOptions
from throughtime.data.series import column_of_array, series_column, series_of_array
from throughtime.data.table import Table
from throughtime.errors import DataError

_MAX_RATIO = 500
"""Maximum compression ratio: float64 piano rolls with long notes reach 220."""
_COLUMNS = {"x": "series", "X": "series", "values": "series", "y": "label"}
_PARTS = ("train", "training", "valid", "validation", "val", "test")


def read_npz(path: Path, options: ReadOptions) -> Table:
    """Read the arrays of a .npz file that belong to a part, by default to the training part."""
    arrays = _of_part(read_all_arrays(path, _MAX_RATIO), path, options.part)
    lengths = arrays.pop("lengths", None) if "values" in arrays else None
    names = [_COLUMNS.get(name, name) for name in arrays]
    chosen = names if options.columns is None else options.columns
    require_columns(path, chosen, names)
    columns = {
        column: _split(array, lengths, f"{path}: {short(name)}")
        if lengths is not None and name == "values"
        else column_of_array(array, f"{path}: {short(name)}")
        for column, (name, array) in zip(names, arrays.items(), strict=True)
        if column in chosen
    }
    _require_rows(columns, path)
    return Table(pa.table(columns).select(list(chosen)), str(path))


def read_npy(path: Path, options: ReadOptions) -> Table:
    """Read an array (n, T) or (n, C, T) as a ``series`` column."""
    content = pa.table({"series": series_of_array(read_array(path), str(path))})
    return Table(with_columns(content, path, options.columns), str(path))


def _of_part(arrays: Mapping[str, NDArray[Any]], path: Path, part: str | None) -> dict[str, NDArray[Any]]:
    chosen = {}
    for name, array in arrays.items():
        stem, _, suffix = name.rpartition("_")
        known = stem and suffix in {*_PARTS, part}
        if (suffix == part or (part is None and suffix in {"train", "training"})) if known else part is None:
            chosen[stem if known else name] = array
    if not chosen:
        suffix = f" that end in _{part}" if part else ""
        raise DataError(f"{path} has no arrays{suffix}; its arrays are {shown_names(arrays)}")
    return chosen


def _split(values: NDArray[Any], lengths: NDArray[Any], place: str) -> pa.Array:
    if (
        values.ndim not in {1, 2}
        or 0 in values.shape[1:]
        or lengths.ndim != 1
        or lengths.dtype.kind not in "iu"
    ):
        raise DataError(
            f"{place} must have the shape (N,) or (N, C), and lengths (n,) with integers; their shapes are "
            f"{values.shape} and {lengths.shape} ({lengths.dtype})"
        )
    # The sum of lengths that are out of range may overflow.
    in_range = ((lengths >= 0) & (lengths <= len(values))).all()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]) if in_range else np.array([-1])
    if offsets[-1] != len(values):
        raise DataError(
            f"{place} has {counted(len(values), 'row')}, but lengths do not add up to it; fix lengths"
        )
    return series_column(values, offsets)


def _require_rows(columns: Mapping[str, pa.Array], path: Path) -> None:
    first = next(iter(columns), "")
    for name in columns:
        if len(columns[name]) != len(columns[first]):
            raise DataError(
                f"{path}: {short(repr(first))} has {counted(len(columns[first]), 'row')}, but "
                f"{short(repr(name))} has {len(columns[name])}; store arrays of the same number of rows"
            )
