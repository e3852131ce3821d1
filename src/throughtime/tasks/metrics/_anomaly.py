"""Metrics of anomaly scores."""

import numpy as np
from numpy.typing import ArrayLike

from throughtime.tasks.intervals import Figures, WeightedMetrics, Weights
from throughtime.tasks.metrics._weighted import Counts, Ranking
from throughtime.tasks.thresholds import binary_scores


def anomaly_metrics(
    scores: ArrayLike, truth: ArrayLike, threshold: float | None = None, weights: ArrayLike | None = None
) -> dict[str, float]:
    """Return the metrics of anomaly scores.

    - ``roc_auc``, ``average_precision``: of all thresholds
    - ``precision``, ``recall``, ``f1``: of anomalies, if there is a threshold

    See `throughtime.tasks.metrics` for undefined values, and `throughtime.tasks.thresholds` for thresholds.

    Parameters
    ----------
    scores : array_like
        (N,); higher means more likely an anomaly.
    truth : array_like
        (N,) bool: whether the row is an anomaly.
    threshold : float, optional
        A row counts as anomaly if its score is at least this.
    weights : array_like, optional
        (N,) weights of the rows.

    Raises
    ------
    ShapeError
        If there are no rows, sizes differ, or a score is not finite.

    Examples
    --------
    >>> figures = anomaly_metrics([0.1, 0.2, 0.9, 0.3], [False, False, True, True], threshold=0.5)
    >>> figures["roc_auc"], figures["precision"], figures["recall"]
    (1.0, 1.0, 0.5)
    """
    return anomaly(scores, truth, threshold).values(weights)


def anomaly(scores: ArrayLike, truth: ArrayLike, threshold: float | None = None) -> WeightedMetrics:
    """Return what `anomaly_metrics` computes as a function of row weights, which also gives intervals.

    Precision and recall are proportions with Wilson intervals.

    Examples
    --------
    >>> metrics = anomaly([0.1, 0.2, 0.9, 0.3], [False, False, True, True], threshold=0.5)
    >>> interval = metrics.intervals()["recall"]
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.095, 0.905)
    """
    values, positive = binary_scores(scores, truth)
    predicted = values >= (np.inf if threshold is None else threshold)
    flags = [part.astype(np.float64) for part in (predicted & positive, predicted, positive)]
    ranking = Ranking(values, positive)

    def compute(weights: Weights) -> Figures:
        roc_auc, average_precision = ranking.areas(weights)
        figures = {"roc_auc": roc_auc, "average_precision": average_precision}
        if threshold is None:
            return figures
        counts = Counts(*(part @ weights for part in flags))
        return figures | {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}

    proportions = {"precision": positive[predicted], "recall": predicted[positive]}
    return WeightedMetrics(len(values), compute, 1, {} if threshold is None else proportions)
