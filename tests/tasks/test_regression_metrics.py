"""Metrics of regression are those of scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from throughtime.errors import ShapeError
from throughtime.tasks.metrics import METRICS, per_target_metrics, regression, regression_metrics

NAMES = ("height", "weight", "age")


def examples(n: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(n, targets)) * np.arange(1, targets + 1) + 50
    return truth + generator.normal(size=(n, targets)), truth


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", [1, 3])
def test_the_values_are_those_of_scikit_learn(targets: int, weighted: bool) -> None:
    predictions, truth = examples(61, targets)
    weights = np.random.default_rng(1).random(61) if weighted else None
    figures = regression_metrics(predictions, truth, NAMES[:targets], weights)
    assert figures == pytest.approx(
        {
            "mae": sk.mean_absolute_error(truth, predictions, sample_weight=weights),
            "rmse": sk.root_mean_squared_error(truth, predictions, sample_weight=weights),
            "r2": sk.r2_score(truth, predictions, sample_weight=weights),
        },
        rel=1e-10,
    )
    assert set(figures) <= set(METRICS)


def test_rows_of_targets_are_those_of_scikit_learn() -> None:
    predictions, truth = examples(61, 3)
    rows = per_target_metrics(predictions, truth, NAMES)
    assert [row.name for row in rows] == list(NAMES)
    kind = {"multioutput": "raw_values"}
    assert [row.mae for row in rows] == pytest.approx(sk.mean_absolute_error(truth, predictions, **kind))
    assert [row.rmse for row in rows] == pytest.approx(sk.root_mean_squared_error(truth, predictions, **kind))
    assert [row.r2 for row in rows] == pytest.approx(sk.r2_score(truth, predictions, **kind))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
@pytest.mark.parametrize("n", [1, 7])
def test_a_constant_target_has_no_r2(value: float, n: int) -> None:
    truth = np.full(n, value)
    figures = regression_metrics(truth + 0.5, truth, NAMES[:1])
    assert math.isnan(figures["r2"])
    assert figures["mae"] == figures["rmse"] == 0.5


def test_a_constant_target_is_left_out_of_the_mean_r2() -> None:
    predictions, truth = examples(30, 2)
    truth[:, 1] = 0.3
    figures = regression_metrics(predictions, truth, NAMES[:2])
    assert figures["r2"] == pytest.approx(sk.r2_score(truth[:, 0], predictions[:, 0]))


def test_a_target_far_from_zero_has_an_exact_r2() -> None:
    truth = 1e9 + np.array([0.0, 1.0, 2.0, 3.0])
    assert regression_metrics(truth + np.array([0.5, -0.5, 0.5, -0.5]), truth, NAMES[:1])[
        "r2"
    ] == pytest.approx(0.8)


@pytest.mark.parametrize("seed", range(5))
def test_weights_may_leave_a_constant_target(seed: int) -> None:
    truth = np.array([0.0] + [0.3] * 20)
    weights = np.append(0.0, np.random.default_rng(seed).random(20))
    assert math.isnan(regression_metrics(truth + 0.1, truth, NAMES[:1], weights)["r2"])


def test_draws_of_one_value_do_not_count_for_r2() -> None:
    intervals = regression([1.0, 2.0], [1.5, 2.5], NAMES[:1]).intervals()
    assert (intervals["r2"].low, intervals["r2"].high) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("predictions", "truth", "targets", "message"),
    [
        ([], [], 1, "with N from 1, got shape \\(0,\\)"),
        ([1.0], [1.0, 2.0], 1, "one shape, got \\(1, 1\\) and \\(2, 1\\)"),
        ([[1.0, 2.0]], [[1.0, 2.0]], 3, "\\(N, 3\\)"),
        ([[1.0, math.nan]], [[1.0, 2.0]], 2, "row 0: the prediction of weight is nan"),
        ([[1.0, 2.0], [1.0, 2.0]], [[1.0, 2.0], [math.inf, 2.0]], 2, "row 1: the truth of height is inf"),
    ],
)
def test_errors(predictions: object, truth: object, targets: int, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        regression_metrics(predictions, truth, NAMES[:targets])  # type: ignore[arg-type]
