"""Temperatures minimise the loss on validation data; calibration bins are those of Guo et al."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.tasks.calibration import (
    calibration_bins,
    calibration_error,
    fit_binary_temperature,
    fit_temperature,
)
from throughtime.tasks.metrics import classification_metrics


def classified(n: int, classes: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are ``temperature`` times those of the classes' true distribution."""
    generator = np.random.default_rng(0)
    logits = 2 * generator.normal(size=(n, classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (generator.random((n, 1)) > shares.cumsum(1)).sum(1)
    return temperature * logits, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits, truth = classified(20_000, 4, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.03)


def test_it_is_the_minimum_of_the_cross_entropy() -> None:
    logits, truth = classified(200, 3, 2.0)
    fitted = fit_temperature(logits, truth)

    def loss(temperature: float) -> float:
        return F.cross_entropy(torch.from_numpy(logits / temperature), torch.from_numpy(truth)).item()

    temperature = torch.tensor(fitted, dtype=torch.float64, requires_grad=True)
    F.cross_entropy(torch.from_numpy(logits) / temperature, torch.from_numpy(truth)).backward()
    assert abs(temperature.grad.item()) < 1e-7
    assert loss(fitted) < min(loss(fitted * 1.01), loss(fitted / 1.01))


def test_a_binary_model_has_the_temperature_of_its_two_classes() -> None:
    logits, truth = classified(300, 2, 1.7)
    binary = fit_binary_temperature(logits[:, 1] - logits[:, 0], truth)
    assert binary == pytest.approx(fit_temperature(logits, truth), rel=1e-6)


def test_the_labels_of_a_multi_label_model_share_a_temperature() -> None:
    logits, truth = classified(300, 2, 1.7)
    margin = logits[:, 1] - logits[:, 0]
    halves = margin.reshape(150, 2), truth.reshape(150, 2)
    assert fit_binary_temperature(*halves) == pytest.approx(fit_binary_temperature(margin, truth), rel=1e-6)


def test_scaling_improves_loss_and_calibration() -> None:
    logits, truth = classified(5000, 3, 3.0)
    names = ("a", "b", "c")
    before, after = (
        classification_metrics(torch.from_numpy(logits / t).softmax(1).numpy(), truth, names)
        for t in (1.0, fit_temperature(logits, truth))
    )
    assert after["accuracy"] == before["accuracy"]
    assert after["loss"] < before["loss"]
    assert after["calibration_error"] < 0.02 < 0.1 < before["calibration_error"]


def test_a_loss_without_minimum_ends_at_the_limit() -> None:
    assert fit_temperature([[1.0, 0.0]] * 3, [1] * 3) == pytest.approx(np.exp(3), rel=1e-5)


def test_correct_predictions_are_not_made_more_extreme() -> None:
    assert fit_temperature([[1.0, 0.0], [0.0, 2.0]], [0, 1]) == 1
    assert fit_binary_temperature([1.0, -2.0], [1, 0]) == 1


def test_large_logits_do_not_overflow() -> None:
    logits, truth = [[3e4, 0.0]] * 3 + [[0.0, 3e4]], [0, 0, 0, 1]
    assert np.isfinite(fit_temperature(logits, truth))
    assert np.isfinite(fit_binary_temperature([-3e4, 3e4], [1, 1]))


def test_bins_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.random(500)
    correct = generator.random(500) < confidence
    bins = calibration_bins(confidence, correct, 7)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=7)
    assert [part.accuracy for part in bins] == pytest.approx(list(accuracy))
    assert [part.confidence for part in bins] == pytest.approx(list(mean))
    assert sum(part.count for part in bins) == 500
    assert [(part.low, part.high) for part in bins] == [(m / 7, (m + 1) / 7) for m in range(7)]


def test_the_error_of_bins_is_that_of_the_metrics() -> None:
    logits, truth = classified(400, 3, 2.0)
    shares = torch.from_numpy(logits).softmax(1).numpy()
    bins = calibration_bins(shares.max(1), shares.argmax(1) == truth)
    figures = classification_metrics(shares, truth, ("a", "b", "c"))
    assert calibration_error(bins) == pytest.approx(figures["calibration_error"])
    assert figures["loss"] == pytest.approx(log_loss(truth, shares))


def test_a_bin_has_its_lower_end_and_the_last_has_one() -> None:
    bins = calibration_bins([0.5, 0.4999, 1.0], [True, True, False], 2)
    assert [(part.low, part.count) for part in bins] == [(0.0, 1), (0.5, 2)]


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "\\(0, 2\\)"),
        ([[1.0, 2.0]], [0, 1], "\\(2,\\)"),
        ([[1.0, 2.0]], [2], "from 0 to 1"),
        ([[1.0, 2.0]], [0.0], "integers"),
        ([[1.0, 2.0], [np.inf, 0.0]], [0, 0], "row 1 of the logits is not finite"),
    ],
)
def test_errors(logits: object, truth: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        fit_temperature(logits, truth)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        ([], [], "\\(0,\\)"),
        ([1.0], [0, 1], "\\(1,\\) and \\(2,\\)"),
        ([1.0], [0.5], "0 or 1"),
        ([np.nan], [1], "row 0 of the logits"),
    ],
)
def test_errors_of_binary_models(logits: object, truth: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        fit_binary_temperature(logits, truth)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [([], [], "\\(0,\\)"), ([0.5], [True, False], "\\(2,\\)"), ([1.5], [True], "softmax or sigmoid")],
)
def test_errors_of_bins(confidence: list[float], correct: list[bool], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        calibration_bins(confidence, correct)
