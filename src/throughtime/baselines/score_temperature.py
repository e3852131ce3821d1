"""`score_temperature`: the temperature that makes probabilities of the scores of a ridge regression."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from throughtime.baselines.linear import Floats
from throughtime.baselines.targets import Classes, Labels, Targets

USUAL_FACTOR = 3.0
"""Centre of the prior of t; it and its weight are best in cross-validation on 12 sets of the UCR archive."""
_PRIOR_WEIGHT = 2.0
_LOG_RANGE = 8.0


def score_temperature(targets: Targets, scores: Floats, truth: Any, weights: Floats) -> float:
    r"""Return the temperature of scores of targets −1 and 1: 1 / t of classes, 1 / 2t of labels, 1 of values.

    t = argmin Σ_i w_i NLL_i(t) + 2 (ln t − ln 3)²

    NLL is that of softmax(t · scores); a label is a choice between its score and the negative of it. The
    second term is a log-normal prior, which weighs as much as a few rows: without it t is infinite if all
    rows are right, as few rows often are.

    Parameters
    ----------
    targets : Targets
        What the scores are of.
    scores : ndarray
        (n, N), of rows that the model was not fitted to.
    truth : ndarray
        Their targets.
    weights : ndarray
        (n,), their weights w, which are scaled to a mean of 1.

    Examples
    --------
    >>> scores = np.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> round(1 / score_temperature(Classes(2), scores, np.array([0, 1]), np.ones(2)), 2)
    3.02
    """
    weights = weights / weights.mean()
    if isinstance(targets, Classes):
        return 1 / _factor(scores, np.asarray(truth), weights)
    if isinstance(targets, Labels):
        pairs = np.stack([-scores.ravel(), scores.ravel()], 1)
        present = (np.asarray(truth) > 0).astype(np.int64).ravel()
        return 1 / (2 * _factor(pairs, present, np.repeat(weights, scores.shape[1])))
    return 1.0


def _factor(scores: Floats, truth: Any, weights: Floats) -> float:
    rows, usual = np.arange(len(truth)), np.log(USUAL_FACTOR)

    def loss(log_factor: float) -> float:
        log_p = log_softmax(np.exp(log_factor) * scores, axis=1)[rows, truth]
        return float(_PRIOR_WEIGHT * (log_factor - usual) ** 2 - weights @ log_p)

    bounds = (usual - _LOG_RANGE, usual + _LOG_RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8}).x))
