"""The table of metrics: which value is better, how it is printed, and names that are refused."""

import math

import pytest

from throughtime.errors import ShapeError
from throughtime.tasks.metrics import METRICS, require_metric


def test_losses_and_errors_are_better_when_lower() -> None:
    lower = {name for name, metric in METRICS.items() if metric.better == "lower"}
    assert lower == {
        "loss",
        "calibration_error",
        "hamming_loss",
        "mae",
        "rmse",
        "perplexity",
        "nll_per_frame",
        "bits_per_character",
    }
    assert all(metric.name == name for name, metric in METRICS.items())


@pytest.mark.parametrize(
    ("name", "value", "best", "improves"),
    [
        ("loss", 0.3, 0.4, True),
        ("loss", 0.4, 0.4, False),
        ("f1", 0.3, 0.4, False),
        ("f1", 0.5, 0.4, True),
        ("f1", math.nan, 0.4, False),
        ("loss", math.nan, 0.4, False),
        ("loss", 0.4, math.nan, True),
        ("loss", math.nan, math.nan, False),
    ],
)
def test_improvement(name: str, value: float, best: float, improves: bool) -> None:
    assert METRICS[name].improves(value, best) is improves


def test_text() -> None:
    assert METRICS["f1_macro"].text(0.98765) == "98.8 %"
    assert METRICS["rmse"].text(12345.6) == "12346"
    assert METRICS["loss"].text(0.000012345) == "1.234e-05"
    assert METRICS["roc_auc"].text(math.nan) == "–"


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ShapeError, match="no metric 'f1' for this task; choose one of loss, mae, r2"):
        require_metric("f1", ["loss", "mae", "r2"])


def test_a_misspelt_metric() -> None:
    with pytest.raises(ShapeError, match=r"did you mean 'roc_auc'\?"):
        require_metric("rocauc", ["loss", "roc_auc"])
    assert require_metric("roc_auc", ["loss", "roc_auc"]) is METRICS["roc_auc"]
