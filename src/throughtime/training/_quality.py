"""Quality of a classifier: accuracy, confusion matrix, calibration, most and least certain predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime._fields import Positive, Share
from throughtime.errors import ShapeError


@dataclass(frozen=True)
class Prediction:
    """One prediction of a classifier."""

    row: int
    """Index of the example."""
    truth: str
    predicted: str
    probability: Share
    """Probability of the predicted class."""
    text: str | None = None
    """The example itself, if it is a text."""


@dataclass(frozen=True)
class PredictionExamples:
    """The most certain mistakes, the least certain predictions, and the most certain correct ones."""

    wrong: tuple[Prediction, ...]
    unsure: tuple[Prediction, ...]
    right: tuple[Prediction, ...]


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions whose confidence is between ``low`` and ``high``."""

    low: Share
    high: Share
    count: Positive
    confidence: Share
    """Mean probability of the predicted class."""
    accuracy: Share


@dataclass(frozen=True)
class Quality:
    """Predictions of a classifier in numbers; see `quality`.

    Parameters
    ----------
    accuracy : float
        Fraction of correct predictions.
    classes : tuple of str
        Names of the classes.
    confusion : tuple of tuple of int
        Counts by true class (rows) and predicted class (columns).
    calibration : tuple of CalibrationBin
        Bins that are not empty, by confidence.
    calibration_error : float
        Expected calibration error.
    examples : PredictionExamples
        The most and the least certain predictions.
    """

    accuracy: Share
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    examples: PredictionExamples


def quality(
    logits: Tensor, labels: Tensor, classes: Sequence[str], *, bins: int = 10, shown: int = 4
) -> Quality:
    r"""Measure predictions: accuracy, confusion matrix, calibration, most and least certain examples.

    Parameters
    ----------
    logits, labels : Tensor
        (N, C) and (N,) int64.
    classes : sequence of str
        Names of the C classes.
    bins
        M, the number of bins of equal width for the probability p of the predicted class. The expected
        calibration error is Σ_m (n_m / N) · abs(accuracy_m − mean p_m) [1]_.
    shown
        Maximum number of examples in each group.

    Returns
    -------
    Quality

    Raises
    ------
    ShapeError
        If sizes do not match, or there are no examples.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML (2017), equation 3.

    Examples
    --------
    >>> import torch
    >>> from throughtime.training import quality
    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> measured = quality(logits, torch.tensor([0, 1, 1]), ["no", "yes"])
    >>> measured.confusion, round(measured.accuracy, 3)
    (((1, 0), (1, 1)), 0.667)
    """
    count = len(classes)
    if logits.dim() != 2 or logits.shape[1] != count or labels.shape != logits.shape[:1] or not len(labels):
        raise ShapeError(
            f"quality takes logits (N, {count}) and N labels, got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    probabilities = logits.detach().double().softmax(1)
    confidence, predicted = probabilities.max(1)
    right = predicted == labels
    confusion = torch.bincount(labels * count + predicted, minlength=count * count).view(count, count)
    calibration = _calibration(confidence, right, bins)
    order = confidence.argsort(descending=True, stable=True).tolist()

    def predictions(rows: Sequence[int]) -> tuple[Prediction, ...]:
        return tuple(
            Prediction(i, classes[int(labels[i])], classes[int(predicted[i])], float(confidence[i]))
            for i in rows[:shown]
        )

    return Quality(
        accuracy=float(right.double().mean()),
        classes=tuple(classes),
        confusion=tuple(map(tuple, confusion.tolist())),
        calibration=calibration,
        calibration_error=sum(
            part.count / len(labels) * abs(part.accuracy - part.confidence) for part in calibration
        ),
        examples=PredictionExamples(
            wrong=predictions([i for i in order if not right[i]]),
            unsure=predictions(order[::-1]),
            right=predictions([i for i in order if right[i]]),
        ),
    )


def _calibration(confidence: Tensor, right: Tensor, bins: int) -> tuple[CalibrationBin, ...]:
    """Return the bins that are not empty."""
    number = (confidence * bins).long().clamp(max=bins - 1)
    return tuple(
        CalibrationBin(
            m / bins,
            (m + 1) / bins,
            int((number == m).sum()),
            float(confidence[number == m].mean()),
            float(right[number == m].double().mean()),
        )
        for m in number.unique().tolist()
    )
