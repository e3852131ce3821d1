"""Columns of numeric series: lists of numbers, or for several channels lists of fixed-size lists of numbers.

The values of all series are concatenated, with an offset per series, as in `throughtime.Ragged`, so that an
array of numbers becomes a column, and the column a batch, without a copy.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.data.columns import short
from throughtime.errors import DataError

_MAX_INT32 = 2**31 - 1


def series_column(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.Array:
    """Return a column of series from their concatenated values.

    Parameters
    ----------
    values : (N,) or (N, C)
        Steps of all series, in any real dtype.
    offsets : (n + 1,) int64
        Start of each series in ``values``, and the end of the last one.

    Examples
    --------
    >>> series_column(np.array([0.5, 1.0, 2.0]), np.array([0, 2, 3])).to_pylist()
    [[0.5, 1.0], [2.0]]
    >>> series_column(np.array([[1, 2], [3, 4]]), np.array([0, 1, 2])).to_pylist()
    [[[1, 2]], [[3, 4]]]
    """
    steps = pa.array(_storable(values.reshape(-1)))
    if values.ndim > 1:
        steps = pa.FixedSizeListArray.from_arrays(steps, values.shape[1])
    if len(values) > _MAX_INT32:
        return pa.LargeListArray.from_arrays(pa.array(offsets), steps)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), steps)


def column_of_array(values: NDArray[Any], name: str) -> pa.Array:
    """Return an array (n,) as a column of numbers, dates or texts, or one of more dimensions as series.

    Raises
    ------
    DataError
        As `series_of_array`, or if Arrow cannot store the values.

    Examples
    --------
    >>> column_of_array(np.array([True, False]), "y").to_pylist()
    [True, False]
    """
    if values.ndim != 1:
        return series_of_array(values, name)
    try:
        return pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
    except (pa.ArrowException, NotImplementedError, ValueError) as error:
        raise DataError(
            f"{name} ({values.dtype}) cannot be stored: {short(str(error))}; convert it"
        ) from error


def series_of_array(values: NDArray[Any], name: str) -> pa.Array:
    """Return a column of series of one length from an array (n, T), or (n, C, T) for C channels.

    Raises
    ------
    DataError
        If the array has another number of dimensions, no channels, or a dtype other than real numbers.

    Examples
    --------
    >>> series_of_array(np.array([[1.0, 2.0], [3.0, 4.0]]), "x").to_pylist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> series_of_array(np.array([[[1, 2, 3], [4, 5, 6]]]), "x").to_pylist()
    [[[1, 4], [2, 5], [3, 6]]]
    """
    require_numbers(values, name)
    if values.ndim not in {2, 3} or (values.ndim == 3 and not values.shape[1]):
        raise DataError(
            f"{name} has the shape {values.shape}, expected (n, T) for n series of T steps, or (n, C, T) for "
            "C channels; reshape it"
        )
    count, length = len(values), values.shape[-1]
    steps = _channels_last(values).reshape(count * length, *values.shape[1:-1])
    return series_column(_univariate(steps), np.arange(count + 1, dtype=np.int64) * length)


def series_of_parts(parts: Sequence[NDArray[Any]], names: Sequence[str] | str) -> pa.Array:
    """Return a column of series from arrays (T,), or (C, T) for C channels, of any lengths T.

    Parameters
    ----------
    parts
        An array for each series.
    names
        Name of each series in messages, or of all, followed by its number from 0.

    Raises
    ------
    DataError
        If an array has another number of dimensions or channels than the first one, or no real numbers; the
        message names it.

    Examples
    --------
    >>> series_of_parts([np.array([1.0]), np.array([2.0, 3.0])], "item").to_pylist()
    [[1.0], [2.0, 3.0]]
    """
    if not parts:
        return series_column(np.zeros(0), np.zeros(1, np.int64))
    for number, part in enumerate(parts):
        _require_alike(part, parts[0], number, names)
    lengths = [part.shape[-1] for part in parts]
    steps = np.concatenate([part.T for part in parts])
    return series_column(_univariate(steps), np.cumsum([0, *lengths], dtype=np.int64))


def padded_series(values: NDArray[np.float64]) -> pa.Array:
    """Return a column of series from rows (n, T) that end with NaN if they are shorter than T.

    Examples
    --------
    >>> padded_series(np.array([[1.0, np.nan, 3.0], [4.0, np.nan, np.nan]])).to_pylist()
    [[1.0, nan, 3.0], [4.0]]
    """
    from_here_missing = np.logical_and.accumulate(np.isnan(values[:, ::-1]), axis=1)[:, ::-1]
    lengths = (~from_here_missing).sum(axis=1)
    return series_column(values[~from_here_missing], np.cumsum([0, *lengths], dtype=np.int64))


def require_numbers(values: NDArray[Any], name: str) -> None:
    """Check that an array holds real numbers.

    Raises
    ------
    DataError
        If its dtype is another.
    """
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} has the dtype {values.dtype}, expected real numbers; convert it")


def _require_alike(part: NDArray[Any], first: NDArray[Any], number: int, names: Sequence[str] | str) -> None:
    def name(index: int) -> str:
        return f"{names} {index}" if isinstance(names, str) else names[index]

    require_numbers(part, name(number))
    if part.ndim not in {1, 2} or (part.ndim == 2 and not len(part)):
        raise DataError(
            f"{name(number)} has the shape {part.shape}, expected (T,) for T steps, or (C, T) for C "
            "channels; reshape it"
        )
    if part.shape[:-1] != first.shape[:-1]:
        raise DataError(
            f"{name(number)} has {_channels(part)}, but {name(0)} has {_channels(first)}; give all series "
            "the same channels, as arrays (C, T)"
        )


def _channels(part: NDArray[Any]) -> str:
    if part.ndim == 1:
        return f"the shape ({len(part)},), which is one channel"
    return f"the shape {part.shape}, which is {counted(len(part), 'channel')}"


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values.swapaxes(1, 2) if values.ndim == 3 else values)


def _univariate(steps: NDArray[Any]) -> NDArray[Any]:
    """Return steps (N, 1) as (N,): one channel is a list of numbers."""
    return steps[:, 0] if steps.ndim == 2 and steps.shape[1] == 1 else steps


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    """Return contiguous numbers in a dtype that Arrow and PyTorch have."""
    if values.dtype.kind == "b":
        return np.ascontiguousarray(values).view(np.uint8)
    if values.dtype.kind == "f" and values.dtype.itemsize not in {4, 8}:
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))
