"""How well a classifier does, beyond one number: confusion, calibration, the most and least certain."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import ShapeError


def quality(
    logits: Tensor, labels: Tensor, classes: Sequence[str], *, bins: int = 10, shown: int = 4
) -> dict[str, Any]:
    r"""Return plain numbers on predictions: accuracy, confusion matrix, calibration, and the extremes.

    Parameters
    ----------
    logits, labels : Tensor
        (N, C) and (N,) int64.
    classes : sequence of str
        C names.
    bins
        M of the calibration: predictions are put into M bins of equal width by the probability p of the class
        that they name. The expected calibration error is Σ_m (n_m / N) · abs(accuracy_m − mean p_m) [1]_.
    shown
        How many of the most certain mistakes, the least certain predictions, and the most certain right ones.

    Returns
    -------
    dict
        "accuracy"; "classes"; "confusion", counts by truth (rows) and prediction; "calibration", a list of
        bins with "low", "high", "count", "confidence" and "accuracy", and "calibration_error"; "examples",
        for "wrong", "unsure" and "right" a list of row, truth, prediction and probability.

    Raises
    ------
    ShapeError
        If sizes do not fit, or there is nothing.

    References
    ----------
    .. [1] C. Guo et al., "On calibration of modern neural networks", ICML (2017), equation 3.

    Examples
    --------
    >>> import torch
    >>> from throughtime.training import quality
    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> found = quality(logits, torch.tensor([0, 1, 1]), ["no", "yes"])
    >>> found["confusion"], round(found["accuracy"], 3)
    ([[1, 0], [1, 1]], 0.667)
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
    place = (confidence * bins).long().clamp(max=bins - 1)
    calibration, error = [], 0.0
    for m in range(bins):
        own = place == m
        n = int(own.sum())
        if n:
            mean, accuracy = float(confidence[own].mean()), float(right[own].double().mean())
            error += n / len(labels) * abs(accuracy - mean)
            calibration.append(
                {
                    "low": m / bins,
                    "high": (m + 1) / bins,
                    "count": n,
                    "confidence": mean,
                    "accuracy": accuracy,
                }
            )
    order = confidence.argsort(descending=True, stable=True)
    groups = {
        "wrong": [i for i in order.tolist() if not right[i]][:shown],
        "unsure": order.flip(0).tolist()[:shown],
        "right": [i for i in order.tolist() if right[i]][:shown],
    }
    return {
        "accuracy": float(right.double().mean()),
        "classes": list(classes),
        "confusion": confusion.tolist(),
        "calibration": calibration,
        "calibration_error": error,
        "examples": {
            name: [
                {
                    "row": i,
                    "truth": classes[int(labels[i])],
                    "predicted": classes[int(predicted[i])],
                    "probability": float(confidence[i]),
                }
                for i in rows
            ]
            for name, rows in groups.items()
        },
    }
