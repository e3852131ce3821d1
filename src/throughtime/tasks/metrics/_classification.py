"""Metrics of classification: one of C classes per example."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import ShapeError
from throughtime.tasks.calibration import BINS, bin_numbers
from throughtime.tasks.class_proportions import ClassProportions, f1_of_shares
from throughtime.tasks.intervals import Figures, WeightedMetrics, Weights
from throughtime.tasks.metrics._arrays import clipped_log, probability_array
from throughtime.tasks.metrics._rows import ClassMetrics, class_rows
from throughtime.tasks.metrics._weighted import (
    Counts,
    Ranking,
    Values,
    average,
    cells,
    macro_areas,
    macro_proportions,
    mean,
    ratio,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def classification_metrics(
    probabilities: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    weights: ArrayLike | None = None,
    *,
    threshold: float | None = None,
) -> dict[str, float]:
    r"""Return the metrics of a classifier.

    - ``loss``: mean cross-entropy −log p[truth], in nats; p below 2.2e−16 counts as 2.2e−16
    - ``accuracy``; ``balanced_accuracy``: mean recall of the classes in the truth
    - ``precision_macro``, ``recall_macro``, ``f1_macro``: means over the classes in truth or predictions
    - ``roc_auc``, ``average_precision``: of the second of two classes; of more, the mean of each versus the
      rest
    - ``calibration_error``: Σ_m (n_m / N) · abs(accuracy_m − confidence_m) over 10 bins of equal width of the
      probability of the predicted class [1]_
    - ``precision``, ``recall``, ``f1``: of the second class, if there are two

    See `throughtime.tasks.metrics` for undefined values.

    Parameters
    ----------
    probabilities : array_like
        (N, C); each row sums to 1.
    truth : array_like
        (N,) int: the class of each row.
    classes : sequence of str
        C names; of two, the second is the positive class.
    weights : array_like, optional
        (N,) weights of the rows.
    threshold : float, optional
        Of two classes: the second is predicted if its probability is at least this; default: if it is the
        greater.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ShapeError
        If there are no rows, sizes differ, rows are not probabilities, or a class is not from 0 to C − 1.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML (2017), equation 3.

    Examples
    --------
    >>> figures = classification_metrics([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], ["no", "yes"])
    >>> round(figures["accuracy"], 3), figures["recall"], figures["roc_auc"]
    (0.667, 0.5, 1.0)
    """
    return classification(probabilities, truth, classes, threshold=threshold).values(weights)


def classification(
    probabilities: ArrayLike, truth: ArrayLike, classes: Sequence[str], *, threshold: float | None = None
) -> WeightedMetrics:
    """Return what `classification_metrics` computes as a function of row weights, which also gives intervals.

    Accuracy, and precision and recall of two classes, are proportions with Wilson intervals.

    Examples
    --------
    >>> metrics = classification([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], ["no", "yes"])
    >>> interval = metrics.intervals()["accuracy"]
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.208, 0.939)
    """
    shares, labels = _checked(probabilities, truth, len(classes))
    predicted = _predicted(shares, threshold)
    correct = predicted == labels
    hits, chosen, support = _cells(predicted, labels, len(classes))
    losses = -clipped_log(shares[np.arange(len(labels)), labels])
    confidence = shares[np.arange(len(labels)), predicted]
    gaps = cells(bin_numbers(confidence), BINS, correct - confidence)
    binary = len(classes) == 2
    rankings = [Ranking(shares[:, c], labels == c) for c in ([1] if binary else range(len(classes)))]

    def compute(weights: Weights) -> Figures:
        counts = Counts(hits @ weights, chosen @ weights, support @ weights)
        return {
            "loss": mean(losses, weights),
            "accuracy": mean(correct, weights),
            "balanced_accuracy": average(counts.recall, counts.support > 0),
            **counts.macro(),
            **macro_areas(rankings, weights),
            "calibration_error": ratio(np.abs(gaps @ weights).sum(0), weights.sum(0), np.nan),
            **(_positive_class(counts) if binary else {}),
        }

    proportions = {"accuracy": correct}
    if binary:
        proportions |= {"precision": correct[predicted == 1], "recall": correct[labels == 1]}
    ones = np.ones((len(labels), 1))
    return WeightedMetrics(
        len(labels),
        compute,
        len(rankings),
        proportions,
        pivotal=frozenset({"calibration_error"}),
        class_means=_class_means(Counts(hits @ ones, chosen @ ones, support @ ones)),
    )


def per_class_metrics(
    probabilities: ArrayLike, truth: ArrayLike, classes: Sequence[str], *, threshold: float | None = None
) -> tuple[ClassMetrics, ...]:
    """Return precision, recall, F1 and the number of true examples of each class.

    Parameters and errors are those of `classification_metrics`.

    Examples
    --------
    >>> rows = per_class_metrics([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], ["no", "yes"])
    >>> rows[0]
    ClassMetrics(name='no', precision=0.5, recall=1.0, f1=0.666..., support=1)
    """
    shares, labels = _checked(probabilities, truth, len(classes))
    matrices = _cells(_predicted(shares, threshold), labels, len(classes))
    ones = np.ones((len(labels), 1))
    return class_rows(classes, Counts(*(matrix @ ones for matrix in matrices)))


def _checked(probabilities: ArrayLike, truth: ArrayLike, classes: int) -> tuple[Values, NDArray[np.int64]]:
    shares, labels = probability_array(probabilities, classes), np.asarray(truth)
    if labels.shape != shares.shape[:1]:
        raise ShapeError(f"expected one class for each of {len(shares)} rows, got shape {labels.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise ShapeError(f"classes must be integers from 0 to {classes - 1}")
    sums = shares.sum(1)
    wrong = np.flatnonzero(np.abs(sums - 1) > 0.01)
    if len(wrong):
        raise ShapeError(
            f"row {wrong[0]} of the probabilities sums to {sums[wrong[0]]:.4g}, not 1; "
            "apply softmax to logits"
        )
    return shares, labels.astype(np.int64)


def _predicted(shares: Values, threshold: float | None) -> NDArray[np.int64]:
    if threshold is None:
        return np.asarray(shares.argmax(1))
    if shares.shape[1] != 2:
        raise ShapeError(f"a threshold needs two classes, got {shares.shape[1]}; leave it out")
    return (shares[:, 1] >= threshold).astype(np.int64)


def _cells(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> "list[csr_array]":
    """Return the matrices (C, N) that count correct, predicted and true examples of each class."""
    correct = (predicted == labels).astype(np.float64)
    return [cells(labels, classes, correct), cells(predicted, classes), cells(labels, classes)]


def _class_means(counts: Counts) -> dict[str, ClassProportions]:
    true = counts.support[:, 0] > 0
    recalls = ClassProportions(counts.hits[true, 0], counts.support[true, 0])
    means = {"balanced_accuracy": recalls, **macro_proportions(counts)}
    if len(true) > 2:
        return means
    hits, errors = counts.hits[1:, 0], (counts.predicted + counts.support - 2 * counts.hits)[1:, 0]
    return means | {"f1": ClassProportions(hits, hits + errors, f1_of_shares)}


def _positive_class(counts: Counts) -> Figures:
    return {"precision": counts.precision[1], "recall": counts.recall[1], "f1": counts.f1[1]}
