"""Systems of ridge regression, solved for many penalties by eigenvectors or for one by Cholesky's method."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular
from scipy.linalg.blas import dsymv, dsyr2, dsyrk, ssyrk

from throughtime.baselines.linear import Floats

LEFT_OUT = 2048
"""Most rows that are left out. Systems of more rows and features are solved for one penalty alone."""
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class System:
    """Features and targets of a ridge regression with an intercept, multiplied by the roots of row weights.

    Parameters
    ----------
    design : ndarray
        X, (n, F), float32 or float64. Its weighted mean is 0 but for rounding; in a `part` it is not.
    coded : ndarray
        Y, (n, N), of weighted mean 0.
    offset : ndarray
        (N,), what was subtracted from the targets.
    roots : ndarray
        (n,) roots of the weights.
    rows : ndarray
        (m,) the rows that are left out one at a time: all, or `LEFT_OUT` drawn at random.
    """

    design: Any
    coded: Floats
    offset: Floats
    roots: Floats
    rows: Any

    @classmethod
    def of(cls, design: Any, coded: Floats, roots: Floats) -> "System":
        """Return the system of weighted features and unweighted targets."""
        drawn = np.random.default_rng(0).permutation(len(design))[:LEFT_OUT]
        offset = np.average(coded, axis=0, weights=np.square(roots))
        return cls(design, (coded - offset) * roots[:, None], offset, roots, np.sort(drawn))

    def part(self) -> "System":
        """Return the system of the rows that are left out alone; `Decomposed` makes its mean 0."""
        roots, coded = self.roots[self.rows], self.coded[self.rows]
        coded = coded - np.outer(roots, roots @ coded / np.square(roots).sum())
        return replace(self, design=self.design[self.rows], coded=coded, roots=roots)

    @property
    def is_wide(self) -> bool:
        """Whether there are at most as many rows as features."""
        return bool(self.design.shape[0] <= self.design.shape[1])

    @cached_property
    def left_out(self) -> Any:
        """Where the rows that are left out are among those of this system."""
        return self.rows if len(self.roots) > len(self.rows) else slice(None)

    @property
    def of_intercept(self) -> Floats:
        """What the intercept adds to the diagonal of the matrix that maps Y to its prediction, (m,)."""
        shares: Floats = np.square(self.roots[self.left_out]) / np.square(self.roots).sum()
        return shares

    def product(self, *, exact: bool) -> Floats:
        """Return the smaller of X Xᵀ, without its mean, and Xᵀ X: in the upper triangle.

        Of a float32 design it is in float32 precision unless ``exact``.
        """
        gram = _gram if exact or self.design.dtype != np.float32 else _rounded_gram
        return _centred(gram(self.design.T), self.roots) if self.is_wide else gram(self.design)


@dataclass(frozen=True)
class Decomposed:
    """The solutions for all penalties, by the eigenvectors V of the smaller product.

    Parameters
    ----------
    system : System
        What is solved.
    vectors : ndarray
        V, (k, k): of Xᵀ X, or of X Xᵀ if the system is wide.
    squares : ndarray
        (k,) eigenvalues.
    projected : ndarray
        (m, k): X V of the rows that are left out; rows of V √squares if the system is wide.
    moments : ndarray
        (k, N): the products of all rows of these with Y.
    unit : float
        Mean squared norm of the rows of X; 1 if it is 0.
    """

    system: System
    vectors: Floats
    squares: Floats
    projected: Floats
    moments: Floats
    unit: float

    @classmethod
    def of(cls, system: System) -> "Decomposed":
        """Decompose the smaller product."""
        product = system.product(exact=True)
        unit = float(product.trace()) / len(system.design)
        squares, vectors = eigh(product, lower=False, overwrite_a=True, check_finite=False, driver="evd")
        squares = np.maximum(squares, 0.0)
        if system.is_wide:
            squares[0] = 0.0  # that of the mean, which centred rows do not have
            projected = vectors * np.sqrt(squares)
            moments = projected.T @ system.coded
            projected = projected[system.left_out]
        else:
            projected = system.design[system.left_out] @ vectors
            moments = vectors.T @ (system.design.T @ system.coded)
        return cls(system, vectors, squares, projected, moments, unit if unit > 0 else 1.0)

    @property
    def rows(self) -> Any:
        """Numbers of the rows that are left out."""
        return self.system.rows

    def left_out(self, penalty: float) -> Floats:
        """Return the weighted errors (m, N) of each row when it is left out."""
        inverse = 1 / (self.squares + penalty)
        predicted = self.projected @ (inverse[:, None] * self.moments)
        residuals = self.system.coded[self.system.left_out] - predicted
        diagonal = np.square(self.projected) @ inverse + self.system.of_intercept
        return _left_out(residuals, 1 - diagonal)

    def weights(self, penalty: float) -> Floats:
        """Return the weights (F, N)."""
        inverse = 1 / (self.squares + penalty)
        if self.system.is_wide:
            solved = self.vectors @ (inverse[:, None] * (self.vectors.T @ self.system.coded))
            return np.asarray(self.system.design.T @ solved)
        return self.vectors @ (inverse[:, None] * self.moments)


@dataclass(frozen=True)
class Factored:
    """The solution for one penalty, by the Cholesky factor of the smaller product.

    Parameters
    ----------
    system : System
        What is solved.
    factor : ndarray
        U, (k, k), with Uᵀ U = Xᵀ X + penalty, or X Xᵀ + penalty if the system is wide.
    solved : ndarray
        (k, N): the inverse of that, multiplied by Xᵀ Y or by Y.
    """

    system: System
    factor: Floats
    solved: Floats

    @classmethod
    def of(cls, system: System, penalty: float) -> "Factored":
        """Factor the smaller product."""
        # Rounding errors are about a hundredth of the least penalty that is tried for so many features.
        product = system.product(exact=False)
        product[np.diag_indices_from(product)] += penalty
        factor = cholesky(product, lower=False, overwrite_a=True, check_finite=False)
        right = system.coded if system.is_wide else system.design.T @ system.coded
        return cls(system, factor, cho_solve((factor, False), right, check_finite=False))

    @property
    def rows(self) -> Any:
        """Numbers of the rows that are left out."""
        return self.system.rows

    def left_out(self, penalty: float) -> Floats:
        """Return the weighted errors (m, N) of each row when it is left out."""
        system, rows = self.system, self.system.rows
        if system.is_wide:
            right = np.zeros((len(system.design), len(rows)), order="F")
            right[rows, np.arange(len(rows))] = 1.0
            residuals, others = penalty * self.solved[rows], penalty * self._norms(right)
        else:
            part = system.design[rows]
            residuals = system.coded[rows] - part @ self.solved
            others = 1 - self._norms(np.array(part.T, np.float64, order="F"))
        return _left_out(residuals, others - system.of_intercept)

    def weights(self, penalty: float) -> Floats:
        """Return the weights (F, N)."""
        del penalty
        return np.asarray(self.system.design.T @ self.solved) if self.system.is_wide else self.solved

    def _norms(self, columns: Floats) -> Floats:
        """Return bᵀ (Uᵀ U)⁻¹ b for each column b, which is overwritten."""
        halves = solve_triangular(
            self.factor, columns, trans="T", lower=False, overwrite_b=True, check_finite=False
        )
        norms: Floats = np.einsum("ij,ij->j", halves, halves)
        return norms


def _left_out(residuals: Floats, others: Floats) -> Floats:
    """Return errors of predictions without a row, of residuals and what others contribute, 1 − h."""
    errors: Floats = residuals / np.maximum(others, 1e-12)[:, None]
    return errors


def _gram(x: Any) -> Floats:
    """Return Xᵀ X in float64: rounding errors of float32 would be as large as small eigenvalues."""
    product = np.zeros((x.shape[1], x.shape[1]), order="F")
    for first in range(0, len(x), _ROWS_AT_ONCE):
        rows = x[first : first + _ROWS_AT_ONCE].astype(np.float64, order="C")
        product = dsyrk(1.0, rows.T, beta=1.0, c=product, overwrite_c=True)
    return product


def _rounded_gram(x: Any) -> Floats:
    """Return Xᵀ X in float64, added up in float32 in half the time."""
    product = ssyrk(1.0, x, trans=1) if x.flags.f_contiguous else ssyrk(1.0, x.T)
    rounded: Floats = product.astype(np.float64)
    return rounded


def _centred(product: Floats, roots: Floats) -> Floats:
    """Return X Xᵀ without the weighted mean of X."""
    direction = roots / np.linalg.norm(roots)
    along = dsymv(1.0, product, direction)
    along -= (direction @ along / 2) * direction
    centred: Floats = dsyr2(-1.0, direction, along, a=product, overwrite_a=True)
    return centred
