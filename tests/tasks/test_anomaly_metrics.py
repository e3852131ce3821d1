"""Metrics of anomaly scores are those of scikit-learn; thresholds are the best of all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from throughtime.errors import ShapeError
from throughtime.tasks.intervals import wilson_interval
from throughtime.tasks.metrics import METRICS, anomaly, anomaly_metrics
from throughtime.tasks.thresholds import best_threshold, fit_threshold, quantile_threshold


def examples(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return scores with ties, and a truth with both values."""
    generator = np.random.default_rng(seed)
    truth = np.append(generator.random(n - 2) < 0.3, [True, False])
    return np.round(generator.normal(size=n) + truth, 1), truth


@pytest.mark.parametrize("weighted", [False, True])
def test_the_values_are_those_of_scikit_learn(weighted: bool) -> None:
    scores, truth = examples(101)
    weights = np.random.default_rng(1).random(101) if weighted else None
    kind = {"sample_weight": weights}
    figures = anomaly_metrics(scores, truth, 0.7, weights)
    assert figures == pytest.approx(
        {
            "roc_auc": sk.roc_auc_score(truth, scores, **kind),
            "average_precision": sk.average_precision_score(truth, scores, **kind),
            "precision": sk.precision_score(truth, scores >= 0.7, **kind),
            "recall": sk.recall_score(truth, scores >= 0.7, **kind),
            "f1": sk.f1_score(truth, scores >= 0.7, **kind),
        },
        rel=1e-12,
    )
    assert set(figures) <= set(METRICS)


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_small_samples_agree_too(n: int, seed: int) -> None:
    scores, truth = examples(n, seed)
    figures = anomaly_metrics(scores, truth)
    assert figures["roc_auc"] == pytest.approx(sk.roc_auc_score(truth, scores), rel=1e-12)
    assert figures["average_precision"] == pytest.approx(sk.average_precision_score(truth, scores), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_fractional_weights_of_positives_alone_have_no_roc_curve(seed: int) -> None:
    scores, weights = np.random.default_rng(seed).random((2, 50))
    assert math.isnan(anomaly_metrics(scores, np.ones(50), weights=weights)["roc_auc"])


def test_normal_rows_alone() -> None:
    figures = anomaly_metrics([0.1, 0.9], [False, False], 0.5)
    assert math.isnan(figures["roc_auc"])
    assert math.isnan(figures["average_precision"])
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0, 0, 0)


def test_precision_and_recall_have_wilson_intervals() -> None:
    scores, truth = examples(101)
    predicted = scores >= 0.7
    hits = int((predicted & truth).sum())
    intervals = anomaly(scores, truth, 0.7).intervals()
    assert intervals["precision"] == wilson_interval(hits, int(predicted.sum()))
    assert intervals["recall"] == wilson_interval(hits, int(truth.sum()))


def test_nothing_predicted_has_no_precision_interval() -> None:
    intervals = anomaly([0.1, 0.2], [True, False], 0.5).intervals()
    assert math.isnan(intervals["precision"].low)
    assert intervals["recall"].low == 0


CRITERIA = {"f1": sk.f1_score, "accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}


@given(st.integers(2, 25), st.integers(0, 10**6), st.sampled_from(sorted(CRITERIA)))
def test_no_threshold_is_better_and_no_higher_one_as_good(n: int, seed: int, by: str) -> None:
    scores, truth = examples(n, seed)
    threshold = best_threshold(scores, truth, by=by)
    quality = {t: CRITERIA[by](truth, scores >= t) for t in np.unique(scores)}
    best = max(quality.values())
    highest = max(t for t, value in quality.items() if value == pytest.approx(best, abs=1e-12))
    assert CRITERIA[by](truth, scores >= threshold) == pytest.approx(best)
    assert ((scores >= threshold) == (scores >= highest)).all()


def test_a_threshold_is_in_the_middle_of_two_scores() -> None:
    assert best_threshold([0.0, 0.5, 0.75, 1.0], [0, 0, 1, 1]) == 0.625
    assert fit_threshold([0.0, 0.5, 0.75, 1.0], [0, 0, 1, 1]) == 0.625
    assert best_threshold([0.25, 0.5, 0.5], [1, 0, 1]) == 0.25  # all are positive: the lowest score


def test_neighbouring_floats_are_kept_apart() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1))
    assert best_threshold([low, high], [0, 1]) == high


def test_equal_scores() -> None:
    assert best_threshold([0.5] * 4, [0, 1, 1, 1]) == 0.5


@pytest.mark.parametrize("n", [10, 999, 1000])
@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.5])
def test_a_quantile_threshold_flags_that_share(n: int, contamination: float) -> None:
    scores = np.random.default_rng(0).permutation(n).astype(float)
    flagged = (scores >= quantile_threshold(scores, contamination)).mean()
    assert abs(flagged - contamination) <= 1 / n + 1e-12


@pytest.mark.parametrize("contamination", [0.0, -0.1, 0.51, math.nan])
def test_a_contamination_out_of_range(contamination: float) -> None:
    with pytest.raises(ShapeError, match="above 0 and at most 0.5"):
        quantile_threshold([1.0], contamination)


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ([], [], "with N from 1"),
        ([[1.0]], [[1]], "\\(1, 1\\)"),
        ([1.0, 2.0], [1], "one shape"),
        ([1.0, math.nan], [0, 1], "score 1 is nan"),
        ([1.0, 2.0], [0, 2], "0 and 1"),
        ([1.0, 2.0], [0, 0], "no positive"),
        ([1.0, 2.0], [1, 1], "no negative"),
    ],
)
def test_threshold_errors(scores: object, truth: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        best_threshold(scores, truth)  # type: ignore[arg-type]


def test_other_errors_of_thresholds() -> None:
    with pytest.raises(ShapeError, match="'recall'; choose one of f1, accuracy, balanced_accuracy"):
        best_threshold([1.0, 2.0], [0, 1], by="recall")
    with pytest.raises(ShapeError, match="softmax or sigmoid"):
        fit_threshold([1.0, 2.0], [0, 1])
    with pytest.raises(ShapeError, match="with N from 1"):
        fit_threshold([], [])
