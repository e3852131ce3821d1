"""What a report shows of each task: values against scikit-learn and plain counting."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import nn

from throughtime import Ragged
from throughtime.tasks import Anomaly, Classification, Frames, Language, MultiLabel, Regression, Tagging
from throughtime.tasks.calibration import calibration_error
from throughtime.tasks.views import SHOWN, confusion, evenly, highest, histogram, roc_curve

MODEL = nn.Identity()


def _scored(classes: int, rows: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    truth = torch.randint(classes, (rows,))
    return 2 * torch.randn(rows, classes) + 2 * torch.eye(classes)[truth], truth


def test_classification_shows_the_confusion_and_calibration_of_its_metrics() -> None:
    logits, truth = _scored(4)
    task = Classification(("a", "b", "c", "d"))
    views = task.views(MODEL, logits, truth)
    assert views.confusion is not None
    predicted = logits.argmax(1)
    assert np.array_equal(views.confusion.counts, sk.confusion_matrix(truth, predicted))
    figures = task.measure(MODEL, logits, truth)[0]
    assert calibration_error(views.calibration) == pytest.approx(figures["calibration_error"])
    f1 = [row.f1 for row in views.tables[0].rows]
    assert f1 == pytest.approx(sk.f1_score(truth, predicted, average=None))
    assert views.roc is None
    assert views.histograms == ()


def test_the_most_certain_mistakes_and_the_least_certain_predictions_are_shown() -> None:
    logits, truth = _scored(3)
    probabilities = logits.double().softmax(1)
    confidence, predicted = probabilities.max(1)
    mistakes, unsure = Classification(("a", "b", "c")).views(MODEL, logits, truth).examples
    by_confidence = sorted(range(200), key=lambda row: -float(confidence[row]))
    wrong = [row for row in by_confidence if predicted[row] != truth[row]][:SHOWN]
    assert [view.row for view in mistakes.rows] == wrong
    assert [view.row for view in unsure.rows] == by_confidence[::-1][:SHOWN]
    first = mistakes.rows[0]
    assert (first.truth, first.predicted) == ("abc"[truth[wrong[0]]], "abc"[predicted[wrong[0]]])
    assert first.value == f"probability {100 * confidence[wrong[0]]:.1f} %"


def test_two_classes_show_scores_by_class_with_the_threshold_and_the_roc_curve() -> None:
    logits, truth = _scored(2)
    task = Classification(("no", "yes"), threshold=0.8)
    views = task.views(MODEL, logits, truth)
    (scores,) = views.histograms
    assert scores.threshold == 0.8
    assert {name: sum(counts) for name, counts in scores.groups.items()} == {
        "true class no": int((truth == 0).sum()),
        "true class yes": int((truth == 1).sum()),
    }
    positive = logits.double().softmax(1)[:, 1]
    assert views.roc is not None
    area = np.trapezoid(views.roc.true_positive_rate, views.roc.false_positive_rate)
    assert area == pytest.approx(sk.roc_auc_score(truth, positive))
    assert views.confusion is not None
    assert np.array_equal(views.confusion.counts, sk.confusion_matrix(truth, positive >= 0.8))


def test_multilabel_shows_labels_and_the_rows_with_the_most_certain_wrong_label() -> None:
    logits = torch.tensor([[3.0, -3.0], [4.0, 0.1], [-2.0, -5.0]])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    views = MultiLabel(("red", "blue")).views(MODEL, logits, targets)
    precision, recall, f1, support = sk.precision_recall_fscore_support(targets, logits > 0, zero_division=0)
    rows = views.tables[0].rows
    assert [row.name for row in rows] == ["red", "blue"]
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        assert [getattr(row, name) for row in rows] == pytest.approx(list(expected))
    (group,) = views.examples
    assert [(view.row, view.truth, view.predicted) for view in group.rows] == [
        (2, "blue", "no label"),
        (1, "blue", "red, blue"),
    ]
    assert group.rows[1].value == f"{100 * torch.tensor(4.0).sigmoid():.1f} % for red"
    assert group.rows[0].value == f"{100 * torch.tensor(-5.0).sigmoid():.1f} % for blue"


def test_regression_shows_values_in_the_units_of_the_targets() -> None:
    task = Regression(("price",), (100.0,), (10.0,))
    outputs, targets = torch.tensor([[0.0], [1.0], [-2.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    views = task.views(MODEL, outputs, targets)
    assert views.scatters[0].truth == (105.0, 110.0, 120.0)
    assert views.scatters[0].predicted == (100.0, 110.0, 80.0)
    errors = views.histograms[0]
    assert sum(errors.groups["price"]) == 3
    assert errors.edges[0] == -40.5  # whole numbers
    (group,) = views.examples
    assert [(view.row, view.truth, view.value) for view in group.rows] == [
        (2, "120", "error −40"),
        (0, "105", "error −5"),
        (1, "110", "error 0"),
    ]
    assert task.target_view(targets).values["price"].tolist() == [105.0, 110.0, 120.0]


def test_tagging_marks_wrong_tags_of_the_sequences_with_most_errors() -> None:
    task = Tagging(("B-X", "I-X", "O"))
    truth = Ragged.from_list([torch.tensor(row) for row in ([0, 1, 2], [2], [0, 2])])
    predicted = [2, 1, 1, 2, 0, 0]
    outputs = truth.with_values(torch.eye(3)[predicted])
    views = task.views(MODEL, outputs, truth)
    assert views.confusion is not None
    assert np.array_equal(views.confusion.counts, sk.confusion_matrix(truth.values, predicted))
    assert [table.kind for table in views.tables] == ["tag", "span type"]
    assert views.tables[1].rows[0].support == 2
    (group,) = views.examples
    assert [(view.row, view.predicted) for view in group.rows] == [
        (0, "2 of 3 tags are wrong"),
        (2, "1 of 2 tags are wrong"),
    ]
    assert [mark.strength for mark in group.rows[0].marks] == [1.0, 0.0, 1.0]
    assert group.rows[0].marks[0].note == "predicted O, true tag B-X"
    assert task.target_view(truth).counts == {"B-X": 2, "I-X": 1, "O": 3}


def test_anomalies_show_scores_by_kind_and_the_surprise_of_steps() -> None:
    task = Anomaly(reduce="max", threshold=2.5)
    surprise = torch.tensor([1.0, 3.0, 1.0, 2.0, 1.0, 5.0])[:, None]
    outputs = Ragged.from_lengths(surprise, [2, 2, 2])
    truth = torch.tensor([False, True, True])
    views = task.views(MODEL, outputs, truth)
    assert views.confusion is not None
    assert views.confusion.counts == ((0, 1), (1, 1))
    (scores,) = views.histograms
    assert scores.threshold == 2.5
    assert {name: sum(counts) for name, counts in scores.groups.items()} == {"normal": 1, "anomaly": 2}
    assert views.roc is not None
    area = np.trapezoid(views.roc.true_positive_rate, views.roc.false_positive_rate)
    assert area == pytest.approx(sk.roc_auc_score(truth, [3.0, 2.0, 5.0]))
    alarms, missed = views.examples
    assert [view.row for view in alarms.rows] == [0]
    assert [view.row for view in missed.rows] == [1, 2]
    # From the median surprise, 1, to the largest, 5.
    assert [mark.strength for mark in alarms.rows[0].marks] == [0.0, 0.5]
    assert alarms.rows[0].marks[1].note == "surprise 3.00"
    assert task.target_view(truth).counts == {"normal": 1, "anomaly": 2}


def test_anomalies_without_labels_show_the_highest_scores_alone() -> None:
    outputs = Ragged.from_lengths(torch.tensor([1.0, 3.0, 2.0])[:, None], [1, 1, 1])
    views = Anomaly().views(MODEL, outputs, torch.zeros(3, dtype=torch.bool))
    assert (views.confusion, views.roc) == (None, None)
    (group,) = views.examples
    assert [(view.row, view.truth) for view in group.rows] == [(1, ""), (2, ""), (0, "")]


@pytest.mark.parametrize("task", [Language, Frames])
def test_next_step_tasks_have_no_views(task: type) -> None:
    assert not hasattr(task, "views")


def test_of_many_classes_those_with_most_mistakes_are_in_the_matrix() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 50, 500), random.integers(0, 50, 500)
    matrix = sk.confusion_matrix(truth, predicted, labels=range(50))
    mistakes = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
    shown = confusion([str(i) for i in range(50)], truth, predicted, most=5)
    kept = [int(name) for name in shown.classes]
    assert min(mistakes[kept]) >= np.sort(mistakes)[-5]
    assert np.array_equal(shown.counts, matrix[np.ix_(kept, kept)])


def test_histograms_count_every_value_in_the_bins_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=(2, 1000))
    shown = histogram("x", {"a": values[0], "b": values[1]})
    counts, edges = np.histogram(values[0], np.histogram_bin_edges(values, 30))
    assert shown.groups["a"] == tuple(counts)
    assert shown.edges == tuple(edges)
    lengths = histogram("length", {"a": np.array([2, 2, 90])})
    assert sum(lengths.groups["a"]) == 3
    assert len(lengths.groups["a"]) <= 31
    assert set(np.diff(lengths.edges)) == {3.0}


def test_of_many_points_few_are_drawn_and_the_ends_are_among_them() -> None:
    chosen = evenly(10_000, 30)
    assert (chosen[0], chosen[-1], len(set(chosen.tolist()))) == (0, 9999, 30)
    scores = np.random.default_rng(0).random(20_000)
    curve = roc_curve(scores, np.random.default_rng(1).random(20_000) < scores)
    assert curve is not None
    assert len(curve.true_positive_rate) <= 3000
    assert (curve.true_positive_rate[0], curve.true_positive_rate[-1]) == (0.0, 1.0)
    assert highest(np.array([1.0, 1.0]), count=1) == [0]
