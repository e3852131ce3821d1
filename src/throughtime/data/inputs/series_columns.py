"""Columns of series: lists of numbers, several of them as channels, or one number per step and column."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime._options import named
from throughtime._words import counted
from throughtime.data.inputs.column_kinds import content_of, is_list, is_number, is_text
from throughtime.data.inputs.json_lists import with_lists
from throughtime.data.inputs.list_columns import Lists, lists_of
from throughtime.data.inputs.value_checks import Position
from throughtime.data.table import Table
from throughtime.errors import DataError


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps of all series, one series after another; a missing value is NaN.

    Parameters
    ----------
    values : (T, C) float64
        The numbers.
    lengths : (B,) int64
        Number of steps of each series.
    names : tuple of str
        What channels are called in messages; for wide tables, the columns of the steps.
    wide : bool
        Whether each column holds one step.
    """

    values: NDArray[np.float64]
    lengths: NDArray[np.int64]
    names: tuple[str, ...]
    wide: bool = False

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Start of each series and the end of the last, (B + 1,) int64."""
        return np.concatenate(([0], np.cumsum(self.lengths)))

    def positions(self, table: Table) -> Position:
        """Return a function that tells the row and the step of a value, for messages."""

        def position(value: int) -> tuple[str, str]:
            step, channel = divmod(value, self.values.shape[1])
            row = int(np.searchsorted(self.offsets, step, side="right")) - 1
            return table.place(row), self._where(step - int(self.offsets[row]), channel)

        return position

    def _where(self, step: int, channel: int) -> str:
        if self.wide:
            return f"in column {self.names[step]!r}"
        return f"at step {step + 1}" + (f" of {self.names[channel]}" if len(self.names) > 1 else "")


def read_steps(table: Table, columns: Sequence[str]) -> Steps:
    """Return the steps of the series in these columns.

    Raises
    ------
    DataError
        If a column is missing or does not hold series, if steps of a row have unequal numbers of channels,
        or if columns of a row have unequal numbers of steps.

    Examples
    --------
    >>> rows = Table(pa.table({"x": [[1, 2], [3]], "y": [[4, 5], [6]]}), "a.json")
    >>> read_steps(rows, ["x", "y"]).values.tolist()
    [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    """
    contents = [with_lists(table, name) for name in columns]
    lists = [is_list(column.type) for column in contents]
    if not any(lists) and len(columns) > 1:
        return _wide(table, columns, contents)
    if len(columns) > 1:
        return _channels(table, columns, contents)
    return _single(table, columns[0], contents[0])


def rows_without_steps(steps: Steps) -> NDArray[np.int64]:
    """Return the rows without steps, counted from 0."""
    return np.flatnonzero(steps.lengths == 0)


def without_padding(steps: Steps) -> Steps:
    """Return series without the steps at their end that have no finite value in any channel.

    Examples
    --------
    >>> steps = Steps(np.array([[1.0], [np.nan], [2.0], [np.nan]]), np.array([4]), ("channel 1",))
    >>> without_padding(steps).values.ravel().tolist()
    [1.0, nan, 2.0]
    """
    observed = np.atleast_1d(np.isfinite(steps.values).any(axis=1))
    ordinals = np.arange(len(observed)) - np.repeat(steps.offsets[:-1], steps.lengths)
    lengths = np.zeros_like(steps.lengths)
    rows = np.repeat(np.arange(len(lengths)), steps.lengths)
    np.maximum.at(lengths, rows[observed], ordinals[observed] + 1)
    return replace(steps, values=steps.values[ordinals < lengths[rows]], lengths=lengths)


def numbers_of(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Return numbers as float64, NaN for null; without a copy where they are float64 without nulls."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_null(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values


def is_numeric(kind: pa.DataType) -> bool:
    """Return whether `numbers_of` takes values of this type."""
    return is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)


def _wide(table: Table, columns: Sequence[str], contents: Sequence[pa.ChunkedArray]) -> Steps:
    for name, column in zip(columns, contents, strict=True):
        if not is_numeric(column.type):
            raise _not_a_series(table, name, column.type, "numbers or lists of numbers")
    values = np.stack([numbers_of(column) for column in contents], axis=1)
    lengths = np.full(len(table), len(columns), dtype=np.int64)
    return Steps(values.reshape(-1, 1), lengths, tuple(columns), wide=True)


def _channels(table: Table, columns: Sequence[str], contents: Sequence[pa.ChunkedArray]) -> Steps:
    channels = [_numeric_lists(table, name, column) for name, column in zip(columns, contents, strict=True)]
    for name, channel in zip(columns[1:], channels[1:], strict=True):
        unequal = np.flatnonzero(channel.lengths != channels[0].lengths)
        if len(unequal):
            row = int(unequal[0])
            raise DataError(
                f"{table.place(row)} has {counted(channels[0].lengths[row], 'step')} in column "
                f"{columns[0]!r}, but {channel.lengths[row]} in {name!r}; the series of a row must have "
                "equally many"
            )
    values = np.stack([numbers_of(channel.elements) for channel in channels], axis=1)
    return Steps(values, channels[0].lengths, tuple(f"column {name!r}" for name in columns))


def _numeric_lists(table: Table, name: str, column: pa.ChunkedArray) -> Lists:
    if not is_list(column.type) or not is_numeric(column.type.value_type):
        raise _not_a_series(table, name, column.type, "lists of numbers, as the other columns")
    return lists_of(column)


def _single(table: Table, name: str, column: pa.ChunkedArray) -> Steps:
    if pa.types.is_null(column.type):
        return Steps(np.empty((0, 1)), np.zeros(len(table), dtype=np.int64), ("channel 1",))
    if not is_list(column.type):
        raise _not_a_series(table, name, column.type, "lists of numbers")
    inner = column.type.value_type
    if is_numeric(inner):
        lists = lists_of(column)
        return Steps(numbers_of(lists.elements)[:, None], lists.lengths, ("channel 1",))
    if is_list(inner) and is_numeric(inner.value_type):
        return _multivariate(table, name, lists_of(column))
    raise _not_a_series(table, name, column.type, "lists of numbers")


def _multivariate(table: Table, name: str, series: Lists) -> Steps:
    """Return the steps of lists (T) of lists (C); a step that is null has NaN in all channels."""
    inner = lists_of(series.elements)
    present = series.elements.is_valid().to_numpy(zero_copy_only=False)
    sizes = inner.lengths[present]
    channels = int(sizes[0]) if len(sizes) else 1
    unequal = np.flatnonzero(present & (inner.lengths != channels))
    if len(unequal):
        row, step = series.position(int(unequal[0]))
        raise DataError(
            f"{table.place(row)} has {counted(inner.lengths[unequal[0]], 'channel')} at step {step + 1} of "
            f"column {name!r}, but the first step of all has {channels}; each step must have as many"
        )
    if channels == 0:
        raise DataError(f"{table.name}: the steps of column {name!r} are empty lists; give numbers")
    values = numbers_of(inner.elements).reshape(-1, channels)
    if not present.all():
        observed, values = values, np.full((len(present), channels), np.nan)
        values[present] = observed
    return Steps(values, series.lengths, tuple(f"channel {c + 1}" for c in range(channels)))


def _not_a_series(table: Table, name: str, kind: pa.DataType, expected: str) -> DataError:
    return DataError(
        f"{table.name}: column {name!r} holds {content_of(kind)}, not {expected}; {_instead(kind, name)}"
    )


def _instead(kind: pa.DataType, name: str) -> str:
    if is_numeric(kind):
        return f"name several, one per step, or use it beside a text or series with {named('numeric', name)}"
    if is_text(kind):
        return f"use it with {named('text', name)}, or convert it to lists of numbers"
    if is_list(kind):
        return f"use it with {named('tokens', name)}, or convert it to numbers"
    return "convert it to numbers"
