"""Metrics of classification and multi-label classification are those of scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import label_binarize

from throughtime.errors import ShapeError
from throughtime.tasks.metrics import (
    METRICS,
    classification,
    classification_metrics,
    multilabel,
    multilabel_metrics,
    per_class_metrics,
    per_label_metrics,
)

NAMES = ("a", "b", "c", "d", "e")


def examples(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities with many ties, and the truth with every class."""
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), generator.integers(classes, size=n - classes)])
    logits = (
        generator.integers(-2, 3, size=(n, classes)) + 2.0 * np.eye(classes)[truth] + np.arange(classes) / 99
    )
    probabilities = np.exp(logits)
    return probabilities / probabilities.sum(1, keepdims=True), truth


def expected(
    probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Return the metrics by scikit-learn."""
    count = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    kind = {"zero_division": 0, "sample_weight": weights}
    binary = count == 2
    flags = truth == 1 if binary else label_binarize(truth, classes=range(count))
    scores = probabilities[:, 1] if binary else probabilities
    values = {
        "loss": sk.log_loss(truth, probabilities, labels=range(count), sample_weight=weights),
        "accuracy": sk.accuracy_score(truth, predicted, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted, sample_weight=weights),
        "precision_macro": sk.precision_score(truth, predicted, average="macro", **kind),
        "recall_macro": sk.recall_score(truth, predicted, average="macro", **kind),
        "f1_macro": sk.f1_score(truth, predicted, average="macro", **kind),
        "roc_auc": sk.roc_auc_score(flags, scores, average="macro", sample_weight=weights),
        "average_precision": sk.average_precision_score(
            flags, scores, average="macro", sample_weight=weights
        ),
    }
    if binary:
        values["precision"] = sk.precision_score(truth, predicted, **kind)
        values["recall"] = sk.recall_score(truth, predicted, **kind)
        values["f1"] = sk.f1_score(truth, predicted, **kind)
    return values


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_values_are_those_of_scikit_learn(classes: int, weighted: bool) -> None:
    probabilities, truth = examples(97, classes)
    weights = np.random.default_rng(1).random(97) + 0.1 if weighted else None
    figures = classification_metrics(probabilities, truth, NAMES[:classes], weights)
    error = figures.pop("calibration_error")
    assert figures == pytest.approx(expected(probabilities, truth, weights), rel=1e-12)
    assert error == pytest.approx(calibration_error(probabilities, truth, weights), rel=1e-12)


def calibration_error(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> float:
    """Return equation 3 of Guo et al. as it stands: a loop over bins."""
    w = np.ones(len(truth)) if weights is None else weights
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == truth
    total = 0.0
    for m in range(10):
        inside = (confidence >= m / 10) & (confidence < (m + 1) / 10 if m < 9 else confidence <= 1)
        if inside.any():
            gap = np.average(correct[inside], weights=w[inside]) - np.average(
                confidence[inside], weights=w[inside]
            )
            total += w[inside].sum() / w.sum() * abs(gap)
    return total


@given(st.integers(2, 4), st.integers(4, 12), st.integers(0, 10**6))
def test_small_samples_agree_too(classes: int, n: int, seed: int) -> None:
    probabilities, truth = examples(n, classes, seed)
    figures = classification_metrics(probabilities, truth, NAMES[:classes])
    figures.pop("calibration_error")
    assert figures == pytest.approx(expected(probabilities, truth), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_weights_count_rows(classes: int) -> None:
    probabilities, truth = examples(40, classes)
    counts = np.random.default_rng(2).integers(1, 4, size=40)
    repeated = classification_metrics(probabilities.repeat(counts, 0), truth.repeat(counts), NAMES[:classes])
    weighted = classification_metrics(probabilities, truth, NAMES[:classes], counts)
    assert weighted == pytest.approx(repeated, rel=1e-12)


def test_every_metric_is_described() -> None:
    probabilities, truth = examples(20, 2)
    assert set(classification_metrics(probabilities, truth, NAMES[:2])) <= set(METRICS)
    assert set(multilabel_metrics(probabilities, np.eye(2)[truth], NAMES[:2])) <= set(METRICS)


def test_a_threshold_changes_the_predictions() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    figures = classification_metrics(probabilities, [0, 1, 1], NAMES[:2], threshold=0.3)
    assert figures["accuracy"] == figures["f1"] == 1.0
    # Confidences are those of the predicted classes, 0.9, 0.3 and 0.8.
    assert figures["calibration_error"] == pytest.approx((0.1 + 0.7 + 0.2) / 3)


def test_rows_of_classes_are_those_of_scikit_learn() -> None:
    probabilities, truth = examples(60, 4)
    rows = per_class_metrics(probabilities, truth, NAMES[:4])
    table = sk.precision_recall_fscore_support(truth, probabilities.argmax(1), zero_division=0)
    assert [row.name for row in rows] == list(NAMES[:4])
    columns = ([getattr(row, key) for row in rows] for key in ("precision", "recall", "f1", "support"))
    for column, reference in zip(columns, table, strict=True):
        assert column == pytest.approx(list(reference))


def test_a_class_that_nobody_has_is_left_out() -> None:
    probabilities, truth = examples(60, 3)
    padded = np.hstack([probabilities, np.zeros((60, 1))])
    wide, narrow = (classification_metrics(p, truth, NAMES[: p.shape[1]]) for p in (padded, probabilities))
    assert wide == pytest.approx(narrow)


def test_one_class_in_the_truth() -> None:
    figures = classification_metrics([[0.6, 0.4], [0.3, 0.7]], [0, 0], NAMES[:2])
    undefined = {name for name, value in figures.items() if math.isnan(value)}
    assert undefined == {"roc_auc", "average_precision"}
    assert figures["accuracy"] == figures["balanced_accuracy"] == 0.5
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0, 0, 0)


def test_only_positives_have_an_average_precision_but_no_roc_curve() -> None:
    figures = classification_metrics([[0.6, 0.4], [0.3, 0.7]], [1, 1], NAMES[:2])
    assert math.isnan(figures["roc_auc"])
    assert figures["average_precision"] == 1.0


def test_one_example() -> None:
    metrics = classification([[0.25, 0.75]], [1], NAMES[:2])
    values, intervals = metrics.values(), metrics.intervals()
    assert values["loss"] == pytest.approx(-math.log(0.75))
    assert values["accuracy"] == values["f1"] == 1.0
    assert math.isnan(intervals["loss"].low)
    assert intervals["accuracy"].low == pytest.approx(1 / (1 + 1.959964**2), rel=1e-6)


def test_a_certain_mistake_has_a_finite_loss() -> None:
    assert classification_metrics([[1.0, 0.0]], [1], NAMES[:2])["loss"] == pytest.approx(52 * math.log(2))


@pytest.mark.parametrize(
    ("probabilities", "truth", "classes", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), 2, "with N from 1, got shape \\(0, 2\\)"),
        ([[0.5, 0.5]], [0], 3, "\\(N, 3\\)"),
        ([[0.5, 0.5]], [0, 1], 2, "one class for each of 1 rows"),
        ([[0.5, 0.5]], [2], 2, "integers from 0 to 1"),
        ([[0.5, 0.5]], [-1], 2, "integers from 0 to 1"),
        ([[0.5, 0.5]], [0.0], 2, "integers from 0 to 1"),
        ([[0.5, 0.5], [2.0, -1.0]], [0, 0], 2, "row 1 .* not from 0 to 1; apply softmax"),
        ([[0.5, 0.5], [0.5, math.nan]], [0, 0], 2, "row 1 .* not from 0 to 1"),
        ([[0.5, 0.5], [0.5, 0.25]], [0, 0], 2, "row 1 .* sums to 0.75, not 1"),
    ],
)
def test_errors(probabilities: object, truth: object, classes: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        classification_metrics(probabilities, truth, NAMES[:classes])  # type: ignore[arg-type]


def test_a_threshold_of_three_classes_is_refused() -> None:
    with pytest.raises(ShapeError, match="two classes, got 3"):
        classification_metrics([[0.2, 0.3, 0.5]], [2], NAMES[:3], threshold=0.5)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.nan]])
def test_weights_that_cannot_be_used(weights: list[float]) -> None:
    with pytest.raises(ShapeError, match="weight"):
        classification_metrics([[0.5, 0.5]] * 2, [0, 1], NAMES[:2], weights)


def labelled(n: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    truth = generator.random((n, labels)) < 0.4
    return np.round((generator.random((n, labels)) + truth) / 2, 1), truth


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("thresholds", [0.5, [0.3, 0.5, 0.7]])
def test_multilabel_values_are_those_of_scikit_learn(thresholds: object, weighted: bool) -> None:
    probabilities, truth = labelled(83, 3)
    predicted = probabilities >= np.asarray(thresholds)
    weights = np.random.default_rng(1).random(83) + 0.1 if weighted else None
    kind = {"sample_weight": weights}
    rates = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    reference = {
        "subset_accuracy": sk.accuracy_score(truth, predicted, **kind),
        "hamming_loss": sk.hamming_loss(truth, predicted, **kind),
        "roc_auc": sk.roc_auc_score(truth, probabilities, average="macro", **kind),
        "average_precision": sk.average_precision_score(truth, probabilities, average="macro", **kind),
        "loss": np.mean(
            [sk.log_loss(truth[:, i], probabilities[:, i], labels=[0, 1], **kind) for i in range(3)]
        ),
    }
    for average in ("micro", "macro"):
        for name, rate in rates.items():
            reference[f"{name}_{average}"] = rate(truth, predicted, average=average, zero_division=0, **kind)
    figures = multilabel_metrics(probabilities, truth, NAMES[:3], thresholds, weights)  # type: ignore[arg-type]
    assert figures == pytest.approx(reference, rel=1e-12)


def test_rows_of_labels_are_those_of_scikit_learn() -> None:
    probabilities, truth = labelled(50, 3)
    rows = per_label_metrics(probabilities, truth, NAMES[:3])
    table = sk.precision_recall_fscore_support(truth, probabilities >= 0.5, zero_division=0)
    columns = ([getattr(row, key) for row in rows] for key in ("precision", "recall", "f1", "support"))
    for column, reference in zip(columns, table, strict=True):
        assert column == pytest.approx(list(reference))


def test_a_label_without_examples() -> None:
    probabilities, truth = labelled(50, 2)
    padded = np.hstack([probabilities, np.zeros((50, 1))]), np.hstack([truth, np.zeros((50, 1), bool)])
    wide = multilabel_metrics(*padded, NAMES[:3])
    narrow = multilabel_metrics(probabilities, truth, NAMES[:2])
    assert wide["roc_auc"] == pytest.approx(narrow["roc_auc"])
    assert wide["average_precision"] == pytest.approx(narrow["average_precision"])
    assert wide["f1_macro"] == pytest.approx(narrow["f1_macro"] * 2 / 3)


@pytest.mark.parametrize(
    ("probabilities", "truth", "thresholds", "message"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2)), 0.5, "got shape \\(0, 2\\)"),
        ([[0.5, 0.5]], [[0, 2]], 0.5, "0 and 1"),
        ([[0.5, 0.5]], [0, 1], 0.5, "truth of shape \\(1, 2\\), got \\(2,\\)"),
        ([[0.5, 0.5]], [[0, 1]], [0.5], "one threshold, or 2"),
        ([[3.0, 0.5]], [[0, 1]], 0.5, "sigmoid"),
    ],
)
def test_multilabel_errors(probabilities: object, truth: object, thresholds: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        multilabel(probabilities, truth, NAMES[:2], thresholds)  # type: ignore[arg-type]
