"""`fit_ridge`: ridge regression of dense features, its penalty and temperature by leave-one-out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from throughtime.baselines.linear import Floats, LinearModel
from throughtime.baselines.ridge_systems import LEFT_OUT, Decomposed, Factored, System
from throughtime.baselines.score_temperature import score_temperature
from throughtime.baselines.targets import Classes, Labels, Targets

PENALTIES = np.logspace(-3, 0, 7)
"""Penalties for classes and labels that are tried, relative to the mean squared norm of the rows."""
PENALTIES_OF_VALUES = np.logspace(-3, 3, 13)
"""Those for values, whose noise may need larger ones."""
_ROWS_AT_ONCE = 1024


def fit_ridge(
    design: Any,
    targets: Targets,
    truth: Any,
    weights: Floats,
    inverse: float | None = None,
    importance: Floats | None = None,
) -> tuple[LinearModel, float]:
    r"""Fit a ridge regression to standardized features, and return it with the inverse of its penalty.

    Classes and labels are coded −1 and 1. Each row is predicted by a model of all others [1]_,

    e_i = (y_i − ŷ_i) / (1 − h_i),  h the diagonal of the matrix that maps y to ŷ.

    The penalty is the smallest of those with the highest accuracy of the scores y − e among `PENALTIES`; for
    values that of `PENALTIES_OF_VALUES` with the least squared error. Of more than `LEFT_OUT` rows and
    features, it is the best penalty for that many rows, drawn at random, and errors e are those of these
    rows. Scores of classes and labels are then scaled by `score_temperature`.

    Parameters
    ----------
    design : ndarray
        (n, F) features, float32 or float64; it is overwritten.
    targets : Targets
        What is fitted.
    truth : ndarray
        The targets.
    weights : ndarray
        (n,) weight of each row.
    inverse : float, optional
        Inverse of the penalty, in place of a search.
    importance : ndarray, optional
        (F,) factors by which the standardized features are multiplied; 1 by default. A feature with a
        factor of 0 is not used.

    References
    ----------
    .. [1] R. M. Rifkin and R. A. Lippert, "Notes on regularized least squares", MIT-CSAIL-TR-2007-025
       (2007), section 4.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> model, inverse = fit_ridge(x.copy(), Classes(2), np.repeat([0, 1], 4), np.ones(8))
    >>> model.scores(x).argmax(1)
    array([0, 0, 0, 0, 1, 1, 1, 1])
    """
    coded = targets.coded(truth)
    mean, factor = _standardize(design, weights, importance)
    roots = np.sqrt(weights / weights.mean())
    design *= roots[:, None].astype(design.dtype)
    system = System.of(design, coded, roots)

    def scores(errors: Floats, rows: Any) -> Floats:
        unweighted: Floats = coded[rows] - errors / np.maximum(roots[rows], 1e-12)[:, None]
        return unweighted

    def error(errors: Floats, rows: Any) -> float:
        if isinstance(targets, Classes | Labels):
            return _inaccuracy(targets, scores(errors, rows), truth[rows], weights[rows])
        return float(np.square(errors).sum())

    tried = PENALTIES if isinstance(targets, Classes | Labels) else PENALTIES_OF_VALUES
    solution, penalty = _solved(system, tried, error, inverse)
    rows = solution.weights(penalty).T * factor
    left_out = scores(solution.left_out(penalty), solution.rows)
    temperature = score_temperature(targets, left_out, truth[solution.rows], weights[solution.rows])
    return replace(LinearModel(rows, system.offset - rows @ mean), temperature=temperature), 1 / penalty


def _solved(
    system: System, tried: Floats, error: Callable[[Floats, Any], float], inverse: float | None
) -> tuple[Decomposed | Factored, float]:
    """Return a solution of the system, and the penalty that is given or the best of those tried."""
    is_small = min(system.design.shape) <= LEFT_OUT
    if is_small or inverse is None:
        solution = Decomposed.of(system if is_small else system.part())
        penalties = tried * solution.unit if inverse is None else np.array([1 / inverse])
        errors = [error(solution.left_out(penalty), solution.rows) for penalty in penalties]
        penalty = float(penalties[int(np.argmin(errors))])
        if is_small:
            return solution, penalty
        inverse = 1 / penalty
    return Factored.of(system, 1 / inverse), 1 / inverse


def _inaccuracy(targets: Classes | Labels, scores: Floats, truth: Any, weights: Floats) -> float:
    """Return the weighted share of wrong rows, or of wrong labels, rounded so that equal ones are equal."""
    if isinstance(targets, Classes):
        wrong = (scores.argmax(1) != truth).astype(np.float64)
    else:
        wrong = ((scores > 0) != (np.asarray(truth) > 0)).mean(1)
    return round(float(weights @ wrong / weights.sum()), 12)


def _standardize(design: Any, weights: Floats, importance: Floats | None) -> tuple[Floats, Floats]:
    """Standardize a design in place, and return the means and the factors of its columns."""
    mean, scale = _moments(design, weights)
    factor = (1.0 if importance is None else importance) / scale
    design -= mean.astype(design.dtype)
    design *= factor.astype(design.dtype)
    return mean, factor


def _moments(design: Any, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted mean and standard deviation of each column, 1 where that is rounding error."""
    shares = weights / weights.sum()
    parts = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(design), _ROWS_AT_ONCE)]
    mean = sum(shares[part] @ design[part].astype(np.float64) for part in parts)
    variance = sum(shares[part] @ np.square(design[part] - mean) for part in parts)
    least = np.square(10 * np.finfo(design.dtype).eps * mean)
    return np.asarray(mean), np.sqrt(np.where(variance > least, variance, 1.0))
