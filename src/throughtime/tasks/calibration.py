"""Calibration of probabilities: temperature scaling, calibration bins and the expected calibration error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime._fields import Positive, Share
from throughtime.errors import ShapeError

BINS = 10
"""Default number of calibration bins."""
_LOG_TEMPERATURES = (-3.0, 3.0)


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions whose confidence is between ``low`` and ``high``."""

    low: Share
    high: Share
    count: Positive
    confidence: Share
    """Mean probability of the predicted class."""
    accuracy: Share


def calibration_bins(
    confidence: ArrayLike, correct: ArrayLike, bins: int = BINS
) -> tuple[CalibrationBin, ...]:
    """Return the calibration bins that are not empty, by confidence.

    Parameters
    ----------
    confidence : array_like
        (N,) probability of the predicted class.
    correct : array_like
        (N,) bool: whether the prediction is correct.
    bins : int
        Number of bins of equal width. The lower end of each is part of it, and so is 1 of the last.

    Raises
    ------
    ShapeError
        If there are no predictions, sizes differ, or a confidence is not from 0 to 1.

    Examples
    --------
    >>> for part in calibration_bins([0.5, 0.92, 0.96, 1.0], [False, True, True, False]):
    ...     print(part.low, part.count, part.confidence, round(part.accuracy, 3))
    0.5 1 0.5 0.0
    0.9 3 0.96 0.667
    """
    shares, hits = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if shares.ndim != 1 or not len(shares) or hits.shape != shares.shape:
        raise ShapeError(
            f"calibration bins need confidence and correct of the same length from 1, got shapes "
            f"{shares.shape} and {hits.shape}"
        )
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ShapeError("confidences must be probabilities from 0 to 1; apply softmax or sigmoid to logits")
    number = bin_numbers(shares, bins)
    return tuple(
        CalibrationBin(
            m / bins,
            (m + 1) / bins,
            int((number == m).sum()),
            float(shares[number == m].mean()),
            float(hits[number == m].mean()),
        )
        for m in np.unique(number).tolist()
    )


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Return the expected calibration error, Σ_m (n_m / N) · abs(accuracy_m − confidence_m).

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML (2017), equation 3.

    Examples
    --------
    >>> round(calibration_error(calibration_bins([0.5, 0.92, 0.96, 1.0], [False, True, True, False])), 3)
    0.345
    """
    count = sum(part.count for part in bins)
    return sum(part.count / count * abs(part.accuracy - part.confidence) for part in bins)


def bin_numbers(confidence: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Return the number of the bin of each confidence, from 0."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def fit_temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """Return the temperature T that minimises the cross-entropy of softmax(logits / T) on validation data.

    Scaling does not change which class is most probable. T above 1 makes probabilities less extreme. T is
    searched from exp(−3) to exp(3). If all predictions are correct, the cross-entropy has no minimum, and 1
    is returned: with a small T, later errors would have a probability near 1.

    Parameters
    ----------
    logits : array_like
        (N, C), before softmax.
    truth : array_like
        (N,) int: the class of each row.

    Raises
    ------
    ShapeError
        If there are no rows, sizes differ, a logit is not finite, or a class is not from 0 to C − 1.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML (2017), section 4.2.

    Examples
    --------
    Three of four rows with the logits (3, 0) are of class 0. Their cross-entropy is least where the
    probability of class 0 is 3 / 4, that is at T = 3 / log 3:

    >>> round(fit_temperature([[3.0, 0.0]] * 4, [0, 0, 0, 1]), 4)
    2.7307
    """
    from scipy.special import logsumexp

    scores, classes = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    if scores.ndim != 2 or not len(scores) or classes.shape != scores.shape[:1]:
        raise ShapeError(
            f"fit_temperature takes logits (N, C) and N classes, got {scores.shape} and {classes.shape}"
        )
    _require_finite(scores)
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= scores.shape[1]:
        raise ShapeError(f"classes must be integers from 0 to {scores.shape[1] - 1}")
    margins = scores - scores[np.arange(len(scores)), classes][:, None]
    if margins.max() <= 0:
        return 1.0
    return _minimise(lambda t: float(logsumexp(margins / t, axis=1).mean()))


def fit_binary_temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """Return the temperature T that minimises the binary cross-entropy of sigmoid(logits / T).

    One T serves all labels of a multi-label model; otherwise as `fit_temperature`.

    Parameters
    ----------
    logits : array_like
        (N,) or (N, L), before the sigmoid.
    truth : array_like
        0 or 1, or bool, of the same shape.

    Raises
    ------
    ShapeError
        If there are no rows, shapes differ, a logit is not finite, or the truth is not 0 or 1.

    Examples
    --------
    >>> round(fit_binary_temperature([3.0] * 4, [1, 1, 1, 0]), 4)
    2.7307
    """
    scores, positive = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    if not scores.size or positive.shape != scores.shape:
        raise ShapeError(
            f"fit_binary_temperature takes logits and truth of one shape, got {scores.shape} and "
            f"{positive.shape}"
        )
    _require_finite(scores)
    if not np.isin(positive, (0, 1)).all():
        raise ShapeError("truth must be 0 or 1 for each logit")
    margins = np.where(positive.astype(bool), -scores, scores)
    if margins.max() <= 0:
        return 1.0
    return _minimise(lambda t: float(np.logaddexp(0, margins / t).mean()))


def _minimise(loss: Callable[[float], float]) -> float:
    """Return the minimum of a loss that is convex in 1 / T."""
    from scipy.optimize import minimize_scalar

    fitted = minimize_scalar(
        lambda log_t: loss(float(np.exp(log_t))),
        bounds=_LOG_TEMPERATURES,
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(fitted.x))


def _require_finite(logits: NDArray[np.float64]) -> None:
    if not np.isfinite(logits).all():
        row = int(np.argwhere(~np.isfinite(logits))[0][0])
        raise ShapeError(f"row {row} of the logits is not finite; the model has diverged")
