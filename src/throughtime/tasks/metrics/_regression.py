"""Metrics of regression: K numbers per example."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from throughtime._fields import Number
from throughtime.errors import ShapeError
from throughtime.tasks.intervals import Figures, WeightedMetrics, Weights
from throughtime.tasks.metrics._weighted import Values, average, mean, ratio


@dataclass(frozen=True)
class TargetMetrics:
    """Mean absolute error, root mean squared error and R² (NaN if the truth is constant) of one target."""

    name: str
    mae: float
    rmse: float
    r2: Number


def regression_metrics(
    predictions: ArrayLike, truth: ArrayLike, names: Sequence[str], weights: ArrayLike | None = None
) -> dict[str, float]:
    """Return the metrics of a regression, each the mean over targets.

    - ``mae``: mean abs(y − ŷ); ``rmse``: √ mean (y − ŷ)²; both in units of the target
    - ``r2``: 1 − Σ (y − ŷ)² / Σ (y − mean y)², over targets whose truth is not constant; else NaN

    Parameters
    ----------
    predictions, truth : array_like
        (N, K), or (N,) for one target.
    names : sequence of str
        K names of the targets.
    weights : array_like, optional
        (N,) weights of the rows.

    Raises
    ------
    ShapeError
        If there are no rows, sizes differ, or a number is not finite.

    Examples
    --------
    >>> regression_metrics([[1.0], [2.0], [3.0]], [[1.0], [2.0], [6.0]], ["price"])
    {'mae': 1.0, 'rmse': 1.732..., 'r2': 0.357...}
    """
    return regression(predictions, truth, names).values(weights)


def regression(predictions: ArrayLike, truth: ArrayLike, names: Sequence[str]) -> WeightedMetrics:
    """Return what `regression_metrics` computes as a function of row weights, which also gives intervals.

    Examples
    --------
    >>> regression([[1.0], [2.0]], [[1.0], [4.0]], ["price"]).intervals()["mae"]
    Interval(low=0.0, high=2.0)
    """
    errors, centred = _errors(predictions, truth, names)

    def compute(weights: Weights) -> Figures:
        mae, rmse, r2 = _targets(errors, centred, weights)
        return {"mae": mae.mean(0), "rmse": rmse.mean(0), "r2": average(r2, ~np.isnan(r2))}

    return WeightedMetrics(len(errors), compute, len(names))


def per_target_metrics(
    predictions: ArrayLike, truth: ArrayLike, names: Sequence[str]
) -> tuple[TargetMetrics, ...]:
    """Return the metrics of each target; parameters and errors are those of `regression_metrics`.

    Examples
    --------
    >>> per_target_metrics([[1.0], [2.0], [3.0]], [[1.0], [2.0], [6.0]], ["price"])
    (TargetMetrics(name='price', mae=1.0, rmse=1.732..., r2=0.357...),)
    """
    errors, centred = _errors(predictions, truth, names)
    columns = zip(*_targets(errors, centred, np.ones((len(errors), 1))), strict=True)
    return tuple(
        TargetMetrics(name, *(float(value[0]) for value in values))
        for name, values in zip(names, columns, strict=True)
    )


def _errors(predictions: ArrayLike, truth: ArrayLike, names: Sequence[str]) -> tuple[Values, Values]:
    """Return y − ŷ, and y less its first row, so that a constant target is exactly 0."""
    predicted, true = (_columns(array, len(names)) for array in (predictions, truth))
    if predicted.shape != true.shape:
        raise ShapeError(f"predictions and truth must have one shape, got {predicted.shape} and {true.shape}")
    for what, array in (("prediction", predicted), ("truth", true)):
        if not np.isfinite(array).all():
            row, column = np.argwhere(~np.isfinite(array))[0]
            raise ShapeError(f"row {row}: the {what} of {names[column]} is {array[row, column]}, not finite")
    return true - predicted, true - true[0]


def _columns(values: ArrayLike, targets: int) -> Values:
    array = np.asarray(values, dtype=np.float64)
    columns = array[:, None] if array.ndim == 1 else array
    if columns.ndim != 2 or columns.shape[1] != targets or not columns.size:
        raise ShapeError(f"expected numbers (N, {targets}) with N from 1, got shape {array.shape}")
    return columns


def _targets(errors: Values, centred: Values, weights: Weights) -> tuple[Values, Values, Values]:
    """Return mean absolute error, root mean squared error and R², (K, R) each."""
    squared = mean(errors**2, weights)
    variance = mean(centred**2, weights) - mean(centred, weights) ** 2
    constant = variance <= 1e-12 * mean(centred**2, weights)  # only rounding errors are left of it
    return (
        mean(np.abs(errors), weights),
        np.sqrt(squared),
        1 - ratio(squared, np.where(constant, 0.0, variance), np.nan),
    )
