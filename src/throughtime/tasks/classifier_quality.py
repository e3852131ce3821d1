"""Quality of a classifier: accuracy, confusion matrix, calibration, most and least certain predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from throughtime._fields import Share
from throughtime.errors import ShapeError
from throughtime.tasks.calibration import BINS, CalibrationBin, calibration_bins, calibration_error
from throughtime.tasks.views import confusion, highest


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
    logits: Tensor, labels: Tensor, classes: Sequence[str], *, bins: int = BINS, shown: int = 4
) -> Quality:
    r"""Measure predictions: accuracy, confusion matrix, calibration, most and least certain examples.

    Parameters
    ----------
    logits, labels : Tensor
        (N, C) and (N,) int64.
    classes : sequence of str
        Names of the C classes.
    bins
        Number of calibration bins, see `throughtime.tasks.calibration.calibration_bins`.
    shown
        Maximum number of examples in each group.

    Returns
    -------
    Quality

    Raises
    ------
    ShapeError
        If sizes do not match, or there are no examples.

    Examples
    --------
    >>> import torch
    >>> from throughtime.tasks import quality
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
    confidence, predicted = (part.numpy() for part in logits.detach().double().softmax(1).max(1))
    truth = labels.numpy()
    right = predicted == truth
    calibration = calibration_bins(confidence, right, bins)

    def predictions(rows: Sequence[int]) -> tuple[Prediction, ...]:
        return tuple(
            Prediction(row, classes[truth[row]], classes[predicted[row]], float(confidence[row]))
            for row in rows
        )

    return Quality(
        accuracy=float(right.mean()),
        classes=tuple(classes),
        confusion=confusion(classes, truth, predicted).counts,
        calibration=calibration,
        calibration_error=calibration_error(calibration),
        examples=PredictionExamples(
            wrong=predictions(highest(confidence, ~right, shown)),
            unsure=predictions(highest(-confidence, count=shown)),
            right=predictions(highest(confidence, right, shown)),
        ),
    )
