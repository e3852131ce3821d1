"""Confusion matrix and calibration against scikit-learn and their definitions."""

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix

from throughtime.errors import ShapeError
from throughtime.tasks import quality


def test_it_is_what_scikit_learn_and_the_definition_say() -> None:
    torch.manual_seed(0)
    logits, labels = 2 * torch.randn(500, 4), torch.randint(4, (500,))
    found = quality(logits, labels, list("abcd"), bins=7, shown=3)
    predicted = logits.argmax(1)
    assert [list(row) for row in found.confusion] == confusion_matrix(labels, predicted).tolist()
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    p = logits.double().softmax(1).amax(1)
    error = 0.0
    for m in range(7):
        own = (p >= m / 7) & ((p < (m + 1) / 7) | (m == 6))
        if own.any():
            error += float(
                own.double().mean() * ((predicted == labels)[own].double().mean() - p[own].mean()).abs()
            )
    assert found.calibration_error == pytest.approx(error)
    assert sum(one.count for one in found.calibration) == 500
    wrong = found.examples.wrong
    assert [one.probability for one in wrong] == sorted(p[predicted != labels].tolist(), reverse=True)[:3]
    assert all(one.truth != one.predicted for one in wrong)
    assert [one.probability for one in found.examples.unsure] == sorted(p.tolist())[:3]
    assert all(one.truth == one.predicted for one in found.examples.right)
    assert "abcd"[int(labels[wrong[0].row])] == wrong[0].truth


def test_sizes_that_do_not_fit_are_named() -> None:
    for logits, labels in (
        (torch.zeros(3, 2), torch.zeros(3).long()),
        (torch.zeros(0, 3), torch.zeros(0).long()),
    ):
        with pytest.raises(ShapeError, match=r"logits \(N, 3\) and N labels"):
            quality(logits, labels, ["a", "b", "c"])
