"""Decision thresholds: an example is positive if its score is at least the threshold."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import ShapeError

_Values = NDArray[np.float64]


def _f1(hits: _Values, false_alarms: _Values, positives: int, _negatives: int) -> _Values:
    return 2 * hits / (hits + false_alarms + positives)


def _accuracy(hits: _Values, false_alarms: _Values, _positives: int, negatives: int) -> _Values:
    """Return the number of correct decisions."""
    return hits + negatives - false_alarms


def _balanced_accuracy(hits: _Values, false_alarms: _Values, positives: int, negatives: int) -> _Values:
    """Return it times 2 · positives · negatives, which is a whole number, so that ties are exact."""
    return hits * negatives + (negatives - false_alarms) * positives


_CRITERIA: Mapping[str, Callable[[_Values, _Values, int, int], _Values]] = {
    "f1": _f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}


def require_criterion(by: str) -> None:
    """Check that a threshold can be chosen by a metric.

    Raises
    ------
    ShapeError
        If it cannot; the message lists the metrics.
    """
    if by not in _CRITERIA:
        raise ShapeError(f"a threshold cannot be chosen by {by!r}; choose one of {', '.join(_CRITERIA)}")


def best_threshold(scores: ArrayLike, truth: ArrayLike, by: str = "f1") -> float:
    """Return the threshold with the best F1, accuracy or balanced accuracy.

    Thresholds between neighbouring distinct scores are compared, and the lowest score, with which every
    example is positive. The result is the midpoint of the two scores. Among equally good ones it is the
    highest, which has the fewest positives.

    Parameters
    ----------
    scores : array_like
        (N,); higher means more likely positive.
    truth : array_like
        (N,) bool, or 0 and 1, with both.
    by : str
        "f1", "accuracy" or "balanced_accuracy".

    Raises
    ------
    ShapeError
        If sizes differ, a score is not finite, the truth has no positive or no negative example, or ``by`` is
        another metric.

    Examples
    --------
    >>> best_threshold([0.125, 0.25, 0.75, 0.875], [False, False, True, True])
    0.5
    """
    require_criterion(by)
    values, positive = binary_scores(scores, truth)
    positives = int(positive.sum())
    if not 0 < positives < len(values):
        missing = "positive" if not positives else "negative"
        raise ShapeError(f"a threshold needs positive and negative examples; the truth has no {missing} one")
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    quality = _CRITERIA[by](hits, last + 1.0 - hits, positives, len(values) - positives)
    best = int(np.argmax(quality))
    return _midpoint(ranked[last[best]], ranked[last[min(best + 1, len(last) - 1)]])


def fit_threshold(probabilities: ArrayLike, truth: ArrayLike, metric: str = "f1") -> float:
    """Return the threshold of the probability of the positive class that is best on validation data.

    As `best_threshold`, which says how ties are decided, for probabilities from 0 to 1.

    Parameters
    ----------
    probabilities : array_like
        (N,) probability of the positive class.
    truth : array_like
        (N,) bool, or 0 and 1, with both.
    metric : str
        "f1", "accuracy" or "balanced_accuracy".

    Raises
    ------
    ShapeError
        As `best_threshold`, and if a probability is not from 0 to 1.

    Examples
    --------
    >>> fit_threshold([0.125, 0.25, 0.375, 0.875], [0, 0, 1, 1])
    0.3125
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ShapeError("probabilities must be from 0 to 1; apply softmax or sigmoid to logits")
    return best_threshold(values, truth, by=metric)


def quantile_threshold(scores: ArrayLike, contamination: float) -> float:
    """Return the threshold that a given fraction of the scores reaches.

    It is the (1 − contamination) quantile with linear interpolation. More scores reach it if several are
    equal to it.

    Parameters
    ----------
    scores : array_like
        (N,) anomaly scores, usually of training or validation data.
    contamination : float
        Expected fraction of anomalies, above 0 and at most 0.5.

    Raises
    ------
    ShapeError
        If there are no scores, one is not finite, or the contamination is out of range.

    Examples
    --------
    >>> quantile_threshold([0.0, 1.0, 2.0, 3.0, 4.0], contamination=0.25)
    3.0
    """
    if not 0 < contamination <= 0.5:
        raise ShapeError(f"contamination must be above 0 and at most 0.5, got {contamination}")
    values = _finite_scores(scores)
    return float(np.quantile(values, 1 - contamination))


def binary_scores(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores (N,) as float64 and the truth (N,) as bool.

    Raises
    ------
    ShapeError
        If there are no scores, sizes differ, a score is not finite, or the truth is neither bool nor 0 and 1.
    """
    values, positive = _finite_scores(scores), np.asarray(truth)
    if positive.shape != values.shape:
        raise ShapeError(f"scores and truth must have one shape, got {values.shape} and {positive.shape}")
    if not np.isin(positive, (0, 1)).all():
        raise ShapeError("truth must be bool, or 0 and 1")
    return values, positive.astype(bool)


def _finite_scores(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ShapeError(f"scores must be (N,) with N from 1, got shape {values.shape}")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ShapeError(f"score {row} is {values[row]}; scores must be finite")
    return values


def _midpoint(above: float, below: float) -> float:
    """Return a threshold that ``above`` reaches and ``below`` does not, unless both are the lowest score."""
    middle = below + (above - below) / 2
    return float(middle if middle > below else above)
