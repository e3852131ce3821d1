"""Verdicts and notes of a report: each is given when it applies, and not otherwise."""

from types import SimpleNamespace
from typing import Any

import pytest

from throughtime.learn.summary import BaselineScore, Summary
from throughtime.report._scores import metric_rows, next_steps, verdict
from throughtime.tasks import Classification, Regression, TaskViews
from throughtime.tasks.calibration import calibration_bins
from throughtime.tasks.intervals import Interval
from throughtime.tasks.metrics import ClassMetrics
from throughtime.tasks.views import ClassTable
from throughtime.training import EpochMetrics, Metrics, ModelSpec, Score

CLASSES = Classification(("a", "b"))
VALUES = Regression(("y",), (0.0,), (1.0,))


def _summary(model: float, baseline: float | None, metric: str = "accuracy", **changes: Any) -> Summary:
    score = Score({"loss": 1.0, metric: model}, 100, {metric: Interval(model - 0.04, model + 0.03)})
    majority = None if baseline is None else Score({"loss": 1.0, metric: baseline}, 100)
    baselines = () if majority is None else (BaselineScore("majority", majority, 0.1, 9),)
    return Summary(**{"part": "test", "metric": metric, "score": score, "baselines": baselines} | changes)


def _run(
    train: list[float], validation: list[float], *, best: int, stopped: Any = "patience", task: Any = CLASSES
) -> Any:
    history = [
        EpochMetrics(number, 1, {"loss": 1.0, "accuracy": a}, {"loss": 1.0, "accuracy": b}, 0.1, 1, 1.0)
        for number, (a, b) in enumerate(zip(train, validation, strict=True), start=1)
    ]
    shape = SimpleNamespace(shape={"vocabulary_size": 9}, model=ModelSpec("textcnn"))
    return SimpleNamespace(metrics=Metrics(history, best, stopped), task=task, config=shape)


@pytest.mark.parametrize(
    ("model", "baseline", "expected"),
    [
        (0.872, 0.856, "m: test accuracy 87.2 % (83.2 – 90.2); majority 85.6 %: the model beats it."),
        (0.856, 0.872, "m: test accuracy 85.6 % (81.6 – 88.6); majority 87.2 %: the model does not beat it."),
        (0.856, None, "m: test accuracy 85.6 % (81.6 – 88.6)."),
    ],
)
def test_the_verdict_names_metric_interval_and_best_baseline(
    model: float, baseline: float | None, expected: str
) -> None:
    assert verdict("m", _summary(model, baseline)) == expected


def test_the_verdict_knows_which_values_are_better() -> None:
    assert verdict("m", _summary(1.5, 2.0, "rmse")).endswith("majority 2: the model beats it.")


def test_the_best_of_several_values_is_marked() -> None:
    first, second = Score({"accuracy": 0.9, "loss": 0.5}, 9), Score({"accuracy": 0.8, "loss": 0.4}, 9)
    rows = metric_rows(["accuracy", "loss", "mae"], [first, second])
    assert [[cell.best for cell in row.cells] for row in rows] == [
        [True, False],
        [False, True],
        [False, False],
    ]
    assert [cell.value for cell in rows[2].cells] == ["", ""]
    (alone,) = metric_rows(["accuracy"], [first])
    assert not alone.cells[0].best


def test_a_baseline_that_does_not_read_the_inputs_is_never_marked() -> None:
    model, majority = Score({"recall": 0.9, "loss": 0.5}, 9), Score({"recall": 1.0, "loss": 0.7}, 9)
    linear = Score({"recall": 0.8, "loss": 0.4}, 9)
    rows = metric_rows(["recall", "loss"], [model, majority, linear], [majority])
    assert [[cell.best for cell in row.cells] for row in rows] == [[True, False, False], [False, False, True]]
    (row,) = metric_rows(["recall"], [model, majority], [majority])
    assert not any(cell.best for cell in row.cells)


def test_nothing_is_noted_of_a_good_run() -> None:
    run = _run([0.7, 0.9], [0.8, 0.85], best=1)
    assert next_steps(run, _summary(0.9, 0.5), TaskViews()) == []


def test_advice_and_notes_of_the_summary_come_first_as_sentences() -> None:
    summary = _summary(0.5, 0.9, advice=("train longer",), notes=("2 rows are in two parts",))
    run = _run([0.7, 0.9], [0.6, 0.85], best=2, stopped="epochs")
    assert next_steps(run, summary, TaskViews()) == ["Train longer.", "2 rows are in two parts."]


def test_overfitting_is_noted_for_the_best_epoch() -> None:
    views = TaskViews()
    (step,) = next_steps(_run([0.7, 0.99], [0.7, 0.8], best=2), None, views)
    assert "the accuracy is 99.0 % in training and 80.0 % on validation. To narrow this gap" in step
    assert next_steps(_run([0.7, 0.99], [0.7, 0.8], best=1), None, views) == []


def test_a_training_that_ended_at_its_best_should_be_longer() -> None:
    run = _run([0.7, 0.8], [0.7, 0.8], best=2, stopped="epochs")
    assert next_steps(run, None, TaskViews()) == [
        "The last of 2 epochs was the best: train longer, with epochs=6 (--epochs 6)."
    ]


def test_a_wide_interval_is_noted() -> None:
    score = Score({"loss": 1.0, "accuracy": 0.8}, 40, {"accuracy": Interval(0.65, 0.9)})
    (step,) = next_steps(_run([0.8], [0.8], best=1), _summary(0.8, 0.5, score=score), TaskViews())
    assert "wide (65.0 % to 90.0 %), as it comes from 40 test sequences" in step


def test_calibration_is_noted_unless_it_was_done() -> None:
    views = TaskViews(calibration=calibration_bins([0.9] * 10, [True] * 5 + [False] * 5))
    (step,) = next_steps(_run([0.8], [0.8], best=1), None, views)
    assert step.startswith("The expected calibration error is 40.0 %")
    done = _run([0.8], [0.8], best=1, task=Classification(("a", "b"), calibrate=True))
    assert next_steps(done, None, views) == []


def test_classes_that_are_never_predicted_are_named() -> None:
    rows = (ClassMetrics("a", 0.5, 1.0, 0.7, 9), ClassMetrics("b", 0, 0, 0, 3), ClassMetrics("c", 0, 0, 0, 0))
    views = TaskViews((ClassTable("class", rows),))
    (step,) = next_steps(_run([0.8], [0.8], best=1), None, views)
    assert step.startswith(
        "No example of class b is predicted correctly; add examples of it, or weigh classes"
    )
    (step,) = next_steps(_run([0.8], [0.8], best=1, task=VALUES), None, views)
    assert step == "No example of class b is predicted correctly; add examples of it."
