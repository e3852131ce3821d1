"""Numeric columns beside a sequence, such as the age of an author beside a text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from throughtime._fields import Fields, to_json
from throughtime._options import named
from throughtime.data.inputs.column_kinds import content_of, is_text
from throughtime.data.inputs.interface import check_options
from throughtime.data.inputs.missing import ColumnMissing, fill_missing
from throughtime.data.inputs.scaling import learned_scales, mean_and_scale, standardize
from throughtime.data.inputs.series_columns import is_numeric, numbers_of
from throughtime.data.inputs.value_checks import Position, require_complete, require_float32
from throughtime.data.table import Table
from throughtime.errors import DataError

_POLICIES = "zero, mean or mask"

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NumericOptions:
    """Options of numeric columns; each is standardized by its mean and deviation over training rows.

    Parameters
    ----------
    columns : tuple of str
        Columns of numbers or truth values.
    missing : {"zero", "mean", "mask"}, optional
        How to fill in null, NaN and infinity: with 0 (before scaling), with the mean of the column in
        training, or with that mean and as many columns more, which are 1 where a value was missing. By
        default, they are refused.

    Raises
    ------
    ShapeError
        If there are no columns, or ``missing`` is not allowed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = Table(pa.table({"age": [20, 40], "price": [1.5, None]}), "shop.csv")
    >>> NumericOptions(columns=("age", "price"), missing="mask").fit(rows).encode(rows).tolist()
    [[-1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    """

    columns: tuple[str, ...]
    missing: ColumnMissing | None = None

    def __post_init__(self) -> None:
        check_options(self, self.columns)

    def numbers(self, table: Table) -> Floats:
        """Return the numbers of all columns, (B, K); NaN for null.

        Raises
        ------
        DataError
            If a column is missing or does not hold numbers; if a value is missing and ``missing`` does not
            say what to do, or exceeds float32.
        """
        numbers = np.stack([_numbers(table, name) for name in self.columns], axis=1)
        if self.missing is None:
            require_complete(numbers, self.positions(table), _POLICIES)
        require_float32(numbers, numbers, self.positions(table))
        return numbers

    def fit(self, table: Table) -> "NumericColumns":
        """Learn mean and scale of each column.

        Raises
        ------
        DataError
            As `numbers`, or if a column has no value.
        """
        means, scales = mean_and_scale(self.numbers(table))
        without = np.flatnonzero(np.isnan(means))
        if len(without):
            raise DataError(
                f"{table.name}: column {self.columns[without[0]]!r} has no value in the rows for training; "
                "remove it"
            )
        return NumericColumns(self, tuple(means.tolist()), tuple(scales.tolist()))

    def positions(self, table: Table) -> Position:
        """Return a function that tells the row and the column of a number, for messages."""

        def position(value: int) -> tuple[str, str]:
            row, column = divmod(value, len(self.columns))
            return table.place(row), f"in column {self.columns[column]!r}"

        return position


@dataclass(frozen=True)
class NumericColumns:
    """Encoder of numeric columns.

    Parameters
    ----------
    options : NumericOptions
        Columns and missing values.
    means, scales : tuple of float
        Mean and standard deviation of each column in training.
    """

    options: NumericOptions
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each of the K numbers."""
        columns = self.options.columns
        return columns + tuple(f"{name} is missing" for name in columns if self.options.missing == "mask")

    def encode(self, table: Table) -> torch.Tensor:
        """Return the numbers of each row, (B, K) float32.

        Raises
        ------
        DataError
            As `NumericOptions.numbers`.
        """
        numbers = self.options.numbers(table)
        means, offsets = np.array(self.means), np.arange(len(numbers) + 1)
        filled = fill_missing(numbers, offsets, self.options.missing or "mean", means)
        values = standardize(filled, self.means, self.scales)
        require_float32(values, numbers, self.options.positions(table))
        if self.options.missing == "mask":
            values = np.concatenate((values, ~np.isfinite(numbers)), axis=1)
        return torch.from_numpy(values.astype(np.float32))

    def to_json(self) -> dict[str, Any]:
        """Return options, means and scales as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> "NumericColumns":
        """Return numeric columns from the result of `to_json`.

        Raises
        ------
        ValueError
            If an entry is missing or not allowed, or there is not one mean and one scale per column.
        """
        fields = Fields(content)
        options = fields.fields("options").dataclass(NumericOptions)
        means, scales = learned_scales(fields)
        if len(means) != len(options.columns):
            raise ValueError(f"there are {len(means)} means for {len(options.columns)} columns")
        return cls(options, means, scales)


def _numbers(table: Table, name: str) -> Floats:
    column = table.column(name)
    if is_numeric(column.type):
        return numbers_of(column)
    instead = f"use it with {named('text', name)}, or convert it" if is_text(column.type) else "convert it"
    raise DataError(
        f"{table.name}: column {name!r} holds {content_of(column.type)}, not numbers; {instead} to numbers"
    )
