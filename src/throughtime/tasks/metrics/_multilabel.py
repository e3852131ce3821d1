"""Metrics of multi-label classification: any number of L labels per example."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import ShapeError
from throughtime.tasks.intervals import Figures, WeightedMetrics, Weights
from throughtime.tasks.metrics._arrays import clipped_log, probability_array
from throughtime.tasks.metrics._rows import ClassMetrics, class_rows
from throughtime.tasks.metrics._weighted import Counts, Ranking, Values, macro_areas, macro_proportions, mean


def multilabel_metrics(
    probabilities: ArrayLike,
    truth: ArrayLike,
    labels: Sequence[str],
    thresholds: ArrayLike = 0.5,
    weights: ArrayLike | None = None,
) -> dict[str, float]:
    """Return the metrics of a multi-label classifier.

    - ``loss``: mean binary cross-entropy over examples and labels, in nats; p below 2.2e−16 counts as 2.2e−16
    - ``subset_accuracy``: fraction of examples with all labels correct; ``hamming_loss``: fraction of wrong
      labels
    - ``precision_micro``, ``recall_micro``, ``f1_micro``: of all labels together
    - ``precision_macro``, ``recall_macro``, ``f1_macro``, ``roc_auc``, ``average_precision``: means over
      labels

    See `throughtime.tasks.metrics` for undefined values.

    Parameters
    ----------
    probabilities : array_like
        (N, L), from 0 to 1.
    truth : array_like
        (N, L) bool, or 0 and 1.
    labels : sequence of str
        L names.
    thresholds : float or array_like
        A label is predicted if its probability is at least its threshold; one for all, or (L,).
    weights : array_like, optional
        (N,) weights of the rows.

    Raises
    ------
    ShapeError
        If there are no rows, sizes differ, a value is not a probability, or the truth is not 0 or 1.

    Examples
    --------
    >>> figures = multilabel_metrics([[0.9, 0.2], [0.4, 0.7]], [[1, 0], [1, 1]], ["red", "blue"])
    >>> figures["subset_accuracy"], figures["hamming_loss"], round(figures["f1_micro"], 3)
    (0.5, 0.25, 0.8)
    """
    return multilabel(probabilities, truth, labels, thresholds).values(weights)


def multilabel(
    probabilities: ArrayLike, truth: ArrayLike, labels: Sequence[str], thresholds: ArrayLike = 0.5
) -> WeightedMetrics:
    """Return what `multilabel_metrics` computes as a function of row weights, which also gives intervals.

    The subset accuracy is a proportion with a Wilson interval.

    Examples
    --------
    >>> metrics = multilabel([[0.9, 0.2], [0.4, 0.7]], [[1, 0], [1, 1]], ["red", "blue"])
    >>> metrics.intervals()["hamming_loss"]
    Interval(low=0.0, high=0.5)
    """
    shares, positive = _checked(probabilities, truth, len(labels))
    predicted = _predicted(shares, thresholds)
    losses = -np.where(positive, clipped_log(shares), clipped_log(1 - shares)).mean(1)
    wrong = predicted != positive
    exact, wrong_share = ~wrong.any(1), wrong.mean(1)
    matrices = _matrices(predicted, positive)
    rankings = [Ranking(shares[:, label], positive[:, label]) for label in range(len(labels))]

    def compute(weights: Weights) -> Figures:
        counts = Counts(*(matrix @ weights for matrix in matrices))
        micro = counts.micro()
        return {
            "loss": mean(losses, weights),
            "subset_accuracy": mean(exact, weights),
            "hamming_loss": mean(wrong_share, weights),
            "precision_micro": micro.precision,
            "recall_micro": micro.recall,
            "f1_micro": micro.f1,
            **counts.macro(all_classes=True),
            **macro_areas(rankings, weights),
        }

    counts = Counts(*(matrix.sum(1, keepdims=True) for matrix in matrices))
    return WeightedMetrics(
        len(shares),
        compute,
        len(rankings),
        {"subset_accuracy": exact},
        class_means=macro_proportions(counts, all_classes=True),
    )


def per_label_metrics(
    probabilities: ArrayLike, truth: ArrayLike, labels: Sequence[str], thresholds: ArrayLike = 0.5
) -> tuple[ClassMetrics, ...]:
    """Return precision, recall, F1 and the number of true examples of each label.

    Parameters and errors are those of `multilabel_metrics`.

    Examples
    --------
    >>> per_label_metrics([[0.9, 0.2], [0.4, 0.7]], [[1, 0], [1, 1]], ["red", "blue"])[1]
    ClassMetrics(name='blue', precision=1.0, recall=1.0, f1=1.0, support=1)
    """
    shares, positive = _checked(probabilities, truth, len(labels))
    matrices = _matrices(_predicted(shares, thresholds), positive)
    return class_rows(labels, Counts(*(matrix.sum(1, keepdims=True) for matrix in matrices)))


def _checked(probabilities: ArrayLike, truth: ArrayLike, labels: int) -> tuple[Values, NDArray[np.bool_]]:
    shares, positive = probability_array(probabilities, labels), np.asarray(truth)
    if positive.shape != shares.shape:
        raise ShapeError(f"expected truth of shape {shares.shape}, got {positive.shape}")
    if not np.isin(positive, (0, 1)).all():
        raise ShapeError("truth must be bool, or 0 and 1, for each label")
    return shares, positive.astype(bool)


def _predicted(shares: Values, thresholds: ArrayLike) -> NDArray[np.bool_]:
    limits = np.asarray(thresholds, dtype=np.float64)
    if limits.shape not in {(), shares.shape[1:]}:
        raise ShapeError(f"expected one threshold, or {shares.shape[1]}, got shape {limits.shape}")
    return np.asarray(shares >= limits)


def _matrices(predicted: NDArray[np.bool_], positive: NDArray[np.bool_]) -> list[Values]:
    """Return the matrices (L, N) that count correct, predicted and true examples of each label."""
    return [flags.T.astype(np.float64) for flags in (predicted & positive, predicted, positive)]
