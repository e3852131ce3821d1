"""`fit_ridge`: ridge regression of dense features, its penalty and temperature by leave-one-out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from throughtime.baselines.linear import Floats, LinearModel
from throughtime.baselines.targets import Classes, Labels, Targets

PENALTIES = np.logspace(-3, 6, 19)
"""Penalties on the squared weights of standardised features that are tried."""
_ROWS_AT_ONCE = 1024
_LOG_TEMPERATURES = (-6.0, 3.0)


def fit_ridge(
    design: Any, targets: Targets, truth: Any, weights: Floats, inverse: float | None = None
) -> tuple[LinearModel, float]:
    r"""Fit a ridge regression to standardised features, and return it with the inverse of its penalty.

    Classes and labels are coded −1 and 1. The penalty of `PENALTIES` is used whose squared error is least
    when each row is predicted by a model of all others [1]_, which the eigenvectors of the smaller of X Xᵀ
    and Xᵀ X give in closed form:

    e_i = (y_i − ŷ_i) / (1 − h_i),  h the diagonal of the matrix that maps y to ŷ.

    Scores y − e of classes and labels are then divided by the temperature of least cross-entropy. Targets of
    this cross-entropy are smoothed as in [2]_, as if a share 1 / (n + 1) of each row were of an unknown
    class, so that it has a minimum even if all rows are predicted correctly.

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

    References
    ----------
    .. [1] R. M. Rifkin and R. A. Lippert, "Notes on regularized least squares", MIT-CSAIL-TR-2007-025
       (2007), section 4.
    .. [2] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized
       likelihood methods", Advances in Large Margin Classifiers (1999), section 2.2.

    Examples
    --------
    >>> x = np.arange(8.0)[:, None]
    >>> model, inverse = fit_ridge(x.copy(), Classes(2), np.repeat([0, 1], 4), np.ones(8))
    >>> model.scores(x).argmax(1)
    array([0, 0, 0, 0, 1, 1, 1, 1])
    """
    coded = targets.coded(truth)
    mean, scale = _moments(design, weights)
    design -= mean.astype(design.dtype)
    design /= scale.astype(design.dtype)
    roots = np.sqrt(weights / weights.mean())
    design *= roots[:, None].astype(design.dtype)
    offset = np.average(coded, axis=0, weights=weights)
    problem = _Problem.of(design, (coded - offset) * roots[:, None], roots)
    tried = [1 / inverse] if inverse else PENALTIES
    errors = [np.square(problem.left_out(penalty)).sum() for penalty in tried]
    penalty = float(tried[int(np.argmin(errors))])
    scores = coded - problem.left_out(penalty) / np.maximum(roots, 1e-12)[:, None]
    rows = problem.weights(design, penalty).T / scale
    model = LinearModel(rows, offset - rows @ mean)
    return replace(model, temperature=_temperature(targets, scores, truth, weights)), 1 / penalty


class _Problem(NamedTuple):
    """Centred and weighted features X = P Vᵀ and targets Y, with the eigenvalues of the smaller product.

    Parameters
    ----------
    projected : ndarray
        P, (n, k).
    vectors : ndarray
        V, (F, k), or if there are fewer rows than features P with columns of unit length, (n, k).
    squares : ndarray
        (k,) eigenvalues, the squared lengths of the columns of P.
    coded : ndarray
        Y, (n, N).
    of_intercept : ndarray
        (n,) what the intercept adds to the diagonal of the matrix that maps Y to its prediction.
    """

    projected: Floats
    vectors: Floats
    squares: Floats
    coded: Floats
    of_intercept: Floats

    @classmethod
    def of(cls, design: Any, coded: Floats, roots: Floats) -> "_Problem":
        """Decompose the smaller product."""
        wide = design.shape[0] <= design.shape[1]
        product = _centred(_gram(design.T), roots) if wide else _gram(design)
        squares, vectors = eigh(product, overwrite_a=True, check_finite=False, driver="evd")
        squares = np.maximum(squares, 0.0)
        if wide:
            squares[0] = 0.0  # that of the mean, which centred rows do not have
        projected = vectors * np.sqrt(squares) if wide else design @ vectors
        return cls(projected, vectors, squares, coded, np.square(roots) / np.square(roots).sum())

    def left_out(self, penalty: float) -> Floats:
        """Return the weighted errors (n, N) of each row when it is left out."""
        inverse = 1 / (self.squares + penalty)
        residuals = self.coded - self.projected @ (inverse[:, None] * (self.projected.T @ self.coded))
        diagonal = np.square(self.projected) @ inverse + self.of_intercept
        errors: Floats = residuals / np.maximum(1 - diagonal, 1e-12)[:, None]
        return errors

    def weights(self, design: Any, penalty: float) -> Floats:
        """Return the weights (F, N)."""
        inverse = 1 / (self.squares + penalty)
        if design.shape[0] <= design.shape[1]:
            return np.asarray(design.T @ (self.vectors @ (inverse[:, None] * (self.vectors.T @ self.coded))))
        return self.vectors @ (inverse[:, None] * (self.projected.T @ self.coded))


def _gram(x: Any) -> Floats:
    """Return Xᵀ X in float64: rounding errors of float32 would be as large as small eigenvalues."""
    product = np.zeros((x.shape[1], x.shape[1]))
    for part in _parts(len(x)):
        rows = x[part].astype(np.float64)
        product += rows.T @ rows
    return product


def _centred(product: Floats, roots: Floats) -> Floats:
    """Return X Xᵀ without what rounding left of the weighted mean of X."""
    direction = roots / np.linalg.norm(roots)
    product -= np.outer(direction, direction @ product)
    product -= np.outer(product @ direction, direction)
    return product


def _parts(count: int) -> Iterator[slice]:
    return (slice(first, first + _ROWS_AT_ONCE) for first in range(0, count, _ROWS_AT_ONCE))


def _moments(design: Any, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted mean and standard deviation of each column, 1 where that is rounding error."""
    shares = weights / weights.sum()
    mean = shares @ design
    variance = sum(shares[part] @ np.square(design[part] - mean) for part in _parts(len(design)))
    least = np.square(10 * np.finfo(design.dtype).eps * mean)
    return mean, np.sqrt(np.where(variance > least, variance, 1.0))


def _temperature(targets: Targets, scores: Floats, truth: Any, weights: Floats) -> float:
    """Return the temperature of least smoothed cross-entropy; 1 for values."""
    if isinstance(targets, Classes):
        pairs, wanted = scores[:, None], truth[:, None] == np.arange(scores.shape[1])
        logits, wanted = pairs[:, 0], wanted.astype(np.float64)
    elif isinstance(targets, Labels):
        # A label is a choice between its score and 0.
        flat = scores.ravel()
        logits, present = np.column_stack([flat, np.zeros_like(flat)]), np.asarray(truth).ravel() > 0
        wanted = np.column_stack([present, ~present]).astype(np.float64)
        weights = np.repeat(weights, scores.shape[1])
    else:
        return 1.0
    count, choices = logits.shape
    wanted = (count * wanted + 1 / choices) / (count + 1)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(weights @ (wanted * log_p).sum(1))

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded").x))
