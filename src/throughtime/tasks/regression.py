"""Regression: one or several numbers for each sequence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime._options import named
from throughtime.data.columns import short
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.labels import FILL_IN
from throughtime.tasks.metrics import METRICS, regression
from throughtime.tasks.outputs import Outputs
from throughtime.tasks.sequence_task import SequenceTask
from throughtime.tasks.task import Level
from throughtime.tasks.views import ExampleView, TargetView, TaskViews, groups, highest, histogram, scatter

_CLASSIFICATION = named("task", "classification")


@dataclass(frozen=True)
class Regression(SequenceTask):
    """Mean squared error of K standardised targets.

    The model puts out z, and its prediction is mean + scale · z. The loss is the mean over targets of
    (z − (y − mean) / scale)², so that targets of different units weigh the same.

    Parameters
    ----------
    targets : tuple of str
        Names of the K targets.
    mean, scale : tuple of float
        Mean and standard deviation of each target in training; the scale of a constant target is 1.
    """

    name: ClassVar[str] = "regression"
    level: ClassVar[Level] = "sequence"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "textcnn", "series": "fcn"}
    blends: ClassVar[bool] = True
    monitor: ClassVar[str] = "loss"
    shown: ClassVar[tuple[str, ...]] = ("loss",)
    learns_from_all_rows: ClassVar[bool] = False

    targets: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.targets) == len(self.mean) == len(self.scale) or min(self.scale, default=1) <= 0:
            raise ShapeError("regression needs a mean and a positive scale for each target")

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.targets)

    @property
    def main_columns(self) -> int:
        """K."""
        return len(self.targets)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss, mean absolute error, root mean squared error, R²."""
        return ("loss", "mae", "rmse", "r2")

    @classmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task with mean and standard deviation of the targets of the training rows."""
        values = _numbers(table, columns)
        if not len(values):
            raise DataError(f"{table.name} has no rows; give a file with rows")
        scale = values.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)
        return cls(tuple(columns), tuple(values.mean(0).tolist()), tuple(scale.tolist()))

    def encode(self, table: Table, columns: Sequence[str]) -> Tensor:
        """Return the standardised targets (B, K) float32."""
        return self._standardised(_numbers(table, columns)).float()

    def score(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error of each sequence, over standardised targets."""
        del model
        return {"loss": (_of_sequences(outputs) - targets).square().mean(1)}

    def measures(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> WeightedMetrics:
        """Return the metrics in the units of the targets."""
        del model
        return regression(self.values(outputs).numpy(), self.values(targets).numpy(), self.targets)

    def values(self, outputs: Outputs) -> Tensor:
        """Return values in the units of the targets, (B, K) float64."""
        return _of_sequences(outputs).double() * self._row(self.scale) + self._row(self.mean)

    def predictions(self, model: nn.Module, outputs: Outputs) -> dict[str, Any]:
        """Return a column for each target."""
        del model
        values = self.values(outputs)
        return {name: values[:, i].tolist() for i, name in enumerate(self.targets)}

    def views(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> TaskViews:
        """Return true and predicted values, the distribution of errors, and the largest errors."""
        del model
        predicted, truth = self.values(outputs).numpy(), self.values(targets).numpy()
        errors = predicted - truth
        standardised = (_of_sequences(outputs) - targets).abs().amax(1).numpy()

        def example(row: int) -> ExampleView:
            true, value, error = (self._joined(values[row]) for values in (truth, predicted, errors))
            return ExampleView(row, true, value, f"error {error.replace('-', '−')}")

        columns = list(enumerate(self.targets))
        return TaskViews(
            scatters=tuple(scatter(name, truth[:, i], predicted[:, i]) for i, name in columns),
            histograms=tuple(
                histogram(f"error of {name}, predicted − true", {name: errors[:, i]}, 0.0)
                for i, name in columns
            ),
            examples=groups(("Largest errors", map(example, highest(standardised)))),
        )

    def target_view(self, targets: Tensor) -> TargetView:
        """Return the values of each target."""
        values = self.values(targets).numpy()
        return TargetView(values={name: values[:, i] for i, name in enumerate(self.targets)})

    def _joined(self, values: NDArray[np.float64]) -> str:
        """Return one value of each target as text."""
        texts = [METRICS["mae"].text(value) for value in values.tolist()]
        if len(texts) == 1:
            return texts[0]
        return ", ".join(f"{name} {text}" for name, text in zip(self.targets, texts, strict=True))

    def _standardised(self, values: Tensor) -> Tensor:
        return (values - self._row(self.mean)) / self._row(self.scale)

    @staticmethod
    def _row(numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64)


def _of_sequences(outputs: Outputs) -> Tensor:
    if not isinstance(outputs, torch.Tensor):
        raise ShapeError("regression needs outputs (B, K), got outputs of every step")
    return outputs


def _numbers(table: Table, columns: Sequence[str]) -> Tensor:
    """Return the values of target columns, (B, K) float64."""
    return torch.stack([_column(table, column) for column in columns], 1)


def _column(table: Table, column: str) -> Tensor:
    values = table.column(column)
    if pa.types.is_boolean(values.type) or pa.types.is_nested(values.type):
        raise DataError(
            f"{table.name}: the target column {column!r} has {values.type} values, expected numbers; choose "
            f"another column, or {_CLASSIFICATION}"
        )
    return torch.tensor(
        [_number(value, table, row, column) for row, value in enumerate(values.to_pylist())],
        dtype=torch.float64,
    )


def _number(value: Any, table: Table, row: int, column: str) -> float:
    try:
        number = math.nan if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{table.place(row)} has {short(repr(value))} in the target column {column!r}, expected a "
            f"number; fix it, or use {_CLASSIFICATION} for labels"
        ) from error
    if not math.isfinite(number):
        has, advice = ("no value", FILL_IN) if math.isnan(number) else (repr(number), "correct it")
        raise DataError(
            f"{table.place(row)} has {has} in the target column {column!r}, expected a finite number; "
            f"{advice}"
        )
    return number
