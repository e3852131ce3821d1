"""What linear models are fitted to: classes, labels or values. scikit-learn fits them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from throughtime.baselines.linear import Features, Floats, LinearModel
from throughtime.tasks.calibration import fit_binary_temperature, fit_temperature

LEAST_LOG = float(np.log(np.finfo(np.float64).eps))
"""Least log probability, as in ``log_loss`` of scikit-learn."""


class Targets(Protocol):
    """What a linear model is fitted to."""

    @property
    def outputs(self) -> int:
        """N."""

    @property
    def models(self) -> int:
        """Number of columns of weights that are fitted: 1 for two classes, else N."""

    def learnable(self, targets: Any) -> bool:
        """Return whether there is anything to tell apart."""

    def fit(self, features: Features, targets: Any, weights: Floats | None, inverse: float) -> LinearModel:
        """Return the model with a penalty on squared weights of this inverse strength."""

    def coded(self, targets: Any) -> Floats:
        """Return targets (n, N) for a regression on them, such as −1 and 1."""

    def calibrated(self, model: LinearModel, features: Features, targets: Any) -> tuple[LinearModel, float]:
        """Return the model with the temperature that suits these examples, and its loss on them."""

    def output(self, scores: Floats) -> Floats:
        """Return what a network would put out."""


@dataclass(frozen=True)
class Classes:
    """One of C classes: logistic regression, log probabilities."""

    outputs: int

    @property
    def models(self) -> int:
        """1 for two classes, else C."""
        return 1 if self.outputs == 2 else self.outputs

    def learnable(self, targets: Any) -> bool:
        """Return whether two classes occur."""
        return len(np.unique(targets)) > 1

    def fit(self, features: Features, targets: Any, weights: Floats | None, inverse: float) -> LinearModel:
        """Return a multinomial logistic regression."""
        fitted = _logistic(features, targets, weights, inverse)
        rows, intercept = fitted.coef_, fitted.intercept_
        if len(fitted.classes_) == 2:
            rows, intercept = np.concatenate([-rows, rows]) / 2, np.concatenate([-intercept, intercept]) / 2
        return self._of_all_classes(fitted.classes_, rows, intercept)

    def coded(self, targets: Any) -> Floats:
        """Return 1 for the class and −1 for the others."""
        return np.where(targets[:, None] == np.arange(self.outputs), 1.0, -1.0)

    def calibrated(self, model: LinearModel, features: Features, targets: Any) -> tuple[LinearModel, float]:
        """Return the model with the temperature of least cross-entropy (Guo et al. 2017, section 4.2)."""
        known = np.flatnonzero(np.isfinite(model.intercept))
        scores, usable = model.scores(features)[:, known], np.isin(targets, known)
        if usable.any():
            places = np.searchsorted(known, targets[usable])
            temperature = fit_temperature(scores[usable], places)
            model = replace(model, temperature=model.temperature * temperature)
        log_p = self.output(model.scores(features))
        return model, -float(log_p[np.arange(len(targets)), targets].mean())

    def output(self, scores: Floats) -> Floats:
        """Return log probabilities, clipped at log(eps)."""
        clipped: Floats = np.maximum(log_softmax(scores, axis=1), LEAST_LOG)
        return clipped

    def _of_all_classes(self, classes: NDArray[np.int64], rows: Floats, intercept: Floats) -> LinearModel:
        weights, all_intercepts = np.zeros((self.outputs, rows.shape[1])), np.full(self.outputs, -np.inf)
        weights[classes], all_intercepts[classes] = rows, intercept
        return LinearModel(weights, all_intercepts)


@dataclass(frozen=True)
class Labels:
    """Any of L labels: a logistic regression for each, logits."""

    outputs: int

    @property
    def models(self) -> int:
        """N."""
        return self.outputs

    def learnable(self, targets: Any) -> bool:
        """Return whether a label is on some rows and not on others."""
        return bool((targets != targets[:1]).any())

    def fit(self, features: Features, targets: Any, weights: Floats | None, inverse: float) -> LinearModel:
        """Return a logistic regression for each label; of a label on all rows or none its log odds."""
        models = [_one_label(features, column, weights, inverse) for column in targets.T]
        return LinearModel(np.stack([row for row, _ in models]), np.array([b for _, b in models]))

    def coded(self, targets: Any) -> Floats:
        """Return 1 for labels that are present and −1 for others."""
        return np.where(targets > 0, 1.0, -1.0)

    def calibrated(self, model: LinearModel, features: Features, targets: Any) -> tuple[LinearModel, float]:
        """Return the model with the temperature of least binary cross-entropy."""
        temperature = fit_binary_temperature(model.scores(features), targets)
        model = replace(model, temperature=model.temperature * temperature)
        scores = model.scores(features)
        return model, float(np.logaddexp(0, np.where(targets > 0, -scores, scores)).mean())

    def output(self, scores: Floats) -> Floats:
        """Return the logits."""
        return scores


@dataclass(frozen=True)
class Values:
    """K values: ridge regression."""

    outputs: int

    @property
    def models(self) -> int:
        """N."""
        return self.outputs

    def learnable(self, targets: Any) -> bool:
        """Return whether values differ."""
        return bool((targets != targets[:1]).any())

    def fit(self, features: Features, targets: Any, weights: Floats | None, inverse: float) -> LinearModel:
        """Return a ridge regression."""
        fitted = Ridge(alpha=1 / inverse).fit(features, targets, sample_weight=weights)
        return LinearModel(np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_))

    def coded(self, targets: Any) -> Floats:
        """Return the values."""
        return np.asarray(targets, dtype=np.float64)

    def calibrated(self, model: LinearModel, features: Features, targets: Any) -> tuple[LinearModel, float]:
        """Return the model as it is, and its mean squared error."""
        return model, float(np.square(model.scores(features) - targets).mean())

    def output(self, scores: Floats) -> Floats:
        """Return the values."""
        return scores


def _one_label(
    features: Features, present: Floats, weights: Floats | None, inverse: float
) -> tuple[Floats, float]:
    """Return the weights (F,) and the intercept for one label."""
    count = float(present.sum())
    if 0 < count < len(present):
        fitted = _logistic(features, present, weights, inverse)
        return fitted.coef_[0], float(fitted.intercept_[0])
    return np.zeros(features.shape[1]), float(np.log((count + 0.5) / (len(present) - count + 0.5)))


def _logistic(features: Features, targets: Any, weights: Floats | None, inverse: float) -> Any:
    with _not_converged():
        return LogisticRegression(C=inverse, solver="newton-cg").fit(features, targets, sample_weight=weights)


@contextmanager
def _not_converged() -> Iterator[None]:
    """Ignore that a model did not converge: validation selects the model, whichever it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
