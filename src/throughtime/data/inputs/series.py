"""Inputs of numeric series: channels, missing values and scales."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime._fields import Fields, to_json
from throughtime._words import counted
from throughtime.data.inputs.interface import Blank, InputShape, check_options, require_no_blank_rows
from throughtime.data.inputs.missing import Missing, fill_missing
from throughtime.data.inputs.scaling import (
    Scale,
    learned_scales,
    mean_and_scale_of_parts,
    standardize,
    standardize_series,
)
from throughtime.data.inputs.series_columns import Steps, read_steps, rows_without_steps, without_padding
from throughtime.data.inputs.value_checks import Position, require_complete, require_float32
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.ragged import Ragged

_POLICIES = "interpolate, forward, zero, mean, mask, or padding for steps at the end"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """Options of numeric series.

    Parameters
    ----------
    columns : tuple of str
        One column of lists of numbers (T) or of lists (T) of lists (C) of numbers; several columns of lists
        of numbers, one per channel; or several columns of numbers, one per step.
    missing : {"interpolate", "forward", "zero", "mean", "mask", "padding"}, optional
        How to fill in null, NaN and infinity: linearly between neighbours (the nearest value at the ends),
        with the last value, with 0, with the mean of the channel in training, or with that mean and as many
        channels more, which are 1 where a value was missing. Without any value to go by, also the mean.
        ``"padding"`` drops the steps at the end of a series that have no value, as in arrays of series of
        unequal length, and refuses others. By default, all are refused.
    scale : {"standard", "series", "none"}
        Subtract the mean and divide by the standard deviation of each channel over all training rows (over
        observed values), do so within each series (after filling in), or do not scale.
    blank : {"refuse", "skip", "empty"}
        What to do with a row without steps: refuse it with an error, which is also the case for ``"skip"``
        unless the caller has dropped `blank_rows`, or encode it as an empty sequence.

    Raises
    ------
    ShapeError
        If there are no columns, or an option has a value that is not allowed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = Table(pa.table({"x": [[1.0, 2.0, 3.0], [2.0]]}), "a.json")
    >>> SeriesOptions(columns=("x",), scale="series").fit(rows).encode(rows).values.ravel().round(decimals=2)
    tensor([-1.2200,  0.0000,  1.2200,  0.0000])
    """

    kind = "series"
    columns: tuple[str, ...]
    missing: Missing | None = None
    scale: Scale = "standard"
    blank: Blank = "refuse"

    def __post_init__(self) -> None:
        check_options(self, self.columns)

    def blank_rows(self, table: Table) -> NDArray[np.int64]:
        """Return the rows without steps, counted from 0."""
        return rows_without_steps(self._read(table))

    def steps(self, table: Table) -> Steps:
        """Return the steps of all series.

        Raises
        ------
        DataError
            If a column is missing or does not hold series, or numbers of channels or steps differ; if a value
            is missing and ``missing`` does not say what to do, or exceeds float32; if a row has no steps
            (unless ``blank="empty"``).
        """
        steps = self._read(table)
        names = ", ".join(map(repr, self.columns))
        what = f"no steps in column{'s' if len(self.columns) > 1 else ''} {names}"
        require_no_blank_rows(table, rows_without_steps(steps), self.blank, what)
        if self.missing in {None, "padding"}:
            require_complete(steps.values, steps.positions(table), _POLICIES)
        require_float32(steps.values, steps.values, steps.positions(table))
        return steps

    def _read(self, table: Table) -> Steps:
        steps = read_steps(table, self.columns)
        return without_padding(steps) if self.missing == "padding" else steps

    def fit(self, table: Table) -> "SeriesInputs":
        """Learn mean and scale of each channel.

        Raises
        ------
        DataError
            As `steps`, or if there are no steps, or a channel has no value in any series.
        """
        first = next((steps for steps in map(self.steps, table.chunks()) if len(steps.values)), None)
        if first is None:
            raise DataError(f"{table.name}: no row has steps to learn from; give rows with series")
        means, scales = mean_and_scale_of_parts(lambda: self._parts(table, first.values.shape[1]))
        without = np.flatnonzero(np.isnan(means))
        if len(without):
            raise DataError(
                f"{table.name}: {first.names[without[0]]} has no value in any series for training; remove it"
            )
        return SeriesInputs(self, tuple(means.tolist()), tuple(scales.tolist()))

    def _parts(self, table: Table, channels: int) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
        """Yield steps and lengths of all parts of a table that have steps."""
        for part in table.chunks():
            steps = self.steps(part)
            if not len(steps.values):
                continue
            if steps.values.shape[1] != channels:
                row = int(np.flatnonzero(steps.lengths)[0])
                raise DataError(
                    f"{part.place(row)} has {counted(steps.values.shape[1], 'channel')}, but the first "
                    f"series has {channels}; each series must have as many"
                )
            yield steps.values, steps.lengths


@dataclass(frozen=True)
class SeriesInputs:
    """Encoder of series.

    Parameters
    ----------
    options : SeriesOptions
        Columns, missing values and kind of scale.
    means, scales : tuple of float
        Mean and standard deviation of each channel in training.
    """

    options: SeriesOptions
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def shape(self) -> InputShape:
        """Number of channels, with those that mark missing values."""
        return InputShape(channels=len(self.means) * (2 if self.options.missing == "mask" else 1))

    @property
    def tokenizer_json(self) -> None:
        """None: series have no tokenizer."""
        return

    @property
    def token_names(self) -> tuple[str, ...]:
        """Empty: series have no tokens."""
        return ()

    def encode(self, table: Table) -> Ragged:
        """Return the steps of each row, (T, C) float32.

        Raises
        ------
        DataError
            As `SeriesOptions.steps`, or if the number of channels differs from that in training.
        """
        steps = self._steps(table)
        return self.encode_steps(steps, steps.positions(table))

    def encode_steps(self, steps: Steps, position: Position) -> Ragged:
        """Return steps (T, C) float32 with missing values filled in, scaled.

        Raises
        ------
        DataError
            If a value exceeds float32; the message gives its ``position``.
        """
        values = self._scaled(self._filled(steps), steps.lengths)
        require_float32(values, steps.values, position)
        if self.options.missing == "mask":
            values = np.concatenate((values, ~np.isfinite(steps.values)), axis=1)
        return Ragged.from_lengths(
            torch.from_numpy(values.astype(np.float32)), torch.from_numpy(steps.lengths)
        )

    def words(self, table: Table) -> list[list[str]]:
        """Return the number of each step from 1.

        Raises
        ------
        DataError
            As `encode`.
        """
        lengths = self._steps(table).lengths.tolist()
        return [[str(step) for step in range(1, length + 1)] for length in lengths]

    def to_json(self) -> dict[str, Any]:
        """Return the kind, the options, means and scales as JSON values."""
        return {"kind": self.options.kind, **to_json(self)}

    def _steps(self, table: Table) -> Steps:
        steps = self.options.steps(table)
        channels = steps.values.shape[1]
        if not len(steps.values):
            return Steps(np.empty((0, len(self.means))), steps.lengths, steps.names)
        if channels != len(self.means):
            raise DataError(
                f"{table.name}: series have {counted(channels, 'channel')}, but those in training had "
                f"{len(self.means)}; give the same channels"
            )
        return steps

    def _filled(self, steps: Steps) -> Floats:
        if self.options.missing is None:
            return steps.values
        return fill_missing(steps.values, steps.offsets, self.options.missing, np.array(self.means))

    def _scaled(self, values: Floats, lengths: NDArray[np.int64]) -> Floats:
        if self.options.scale == "series":
            return standardize_series(values, lengths)
        if self.options.scale == "none":
            return values
        return standardize(values, self.means, self.scales)


def series_inputs_from_json(
    options: SeriesOptions,
    content: Fields,
    tokenizer_json: str | None,  # noqa: ARG001 - series have none
) -> SeriesInputs:
    """Return inputs from their options, means and scales.

    Raises
    ------
    ValueError
        If means or scales are missing, are not numbers, differ in number, or a scale is not positive.
    """
    means, scales = learned_scales(content)
    return SeriesInputs(options, means, scales)
