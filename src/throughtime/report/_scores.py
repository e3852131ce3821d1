"""Metrics of a run beside those of baselines: table, verdict, and what to do next."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from throughtime.learn.summary import Summary
from throughtime.tasks import METRICS, Task
from throughtime.tasks.calibration import calibration_error
from throughtime.tasks.views import TaskViews
from throughtime.training import Metrics, Run, Score

_GAP = 0.1
"""Difference between training and validation in a fraction that is called overfitting."""
_CALIBRATION_ERROR = 0.05
_WIDE = 0.1
"""Width of an interval of a fraction that is called wide."""


@dataclass(frozen=True)
class MetricRow:
    """One row of a table of metrics, with a text for each model."""

    title: str
    description: str
    cells: tuple["Cell", ...]


@dataclass(frozen=True)
class Cell:
    """The value of a metric with its interval as texts, and whether it is the best one."""

    value: str
    interval: str = ""
    best: bool = False


def metric_rows(names: Iterable[str], scores: Sequence[Score]) -> list[MetricRow]:
    """Return a row for each metric, with the value and interval of each score."""
    return [_row(name, scores) for name in names]


def _row(name: str, scores: Sequence[Score]) -> MetricRow:
    metric = METRICS[name]
    values = [score.figures.get(name, math.nan) for score in scores]
    known = [value for value in values if not math.isnan(value)]
    best = (max if metric.better == "higher" else min)(known, default=math.nan)
    several = len(known) > 1
    cells = tuple(_cell(score, name, best=several and score.figures.get(name) == best) for score in scores)
    return MetricRow(metric.title, metric.description, cells)


def _cell(score: Score, name: str, *, best: bool) -> Cell:
    """Return a cell such as "87.2 %" with the interval "(84.1 – 89.9)"."""
    if name not in score.figures:
        return Cell("")
    metric, interval = METRICS[name], score.intervals.get(name)
    text = metric.text(score[name])
    if interval is None or math.isnan(interval.low):
        return Cell(text, best=best)
    low, high = (metric.text(end).removesuffix(" %") for end in (interval.low, interval.high))
    return Cell(text, f"({low} – {high})", best)


def with_interval(score: Score, name: str) -> str:
    """Return the value of a metric and its 95 % interval as text, such as "87.2 % (84.1 – 89.9)"."""
    cell = _cell(score, name, best=False)
    return f"{cell.value} {cell.interval}".rstrip()


def verdict(model: str, summary: Summary) -> str:
    """Return one sentence on a model: its metric with the interval, and whether it beats the best baseline."""
    title = METRICS[summary.metric].title
    start = f"{model}: {summary.part} {title} {with_interval(summary.score, summary.metric)}"
    best = summary.best_baseline
    if best is None:
        return f"{start}."
    ending = "the model beats it" if summary.beats_baselines else "the model does not beat it"
    return f"{start}; {best.name} {METRICS[summary.metric].text(best.score[summary.metric])}: {ending}."


def next_steps(run: Run, summary: Summary | None, views: TaskViews) -> list[str]:
    """Return what was noticed and what to try next."""
    steps = [] if summary is None else [*map(_sentence, (*summary.advice, *summary.notes))]
    steps += _of_history(run, run.metrics, advised=bool(summary is not None and summary.advice))
    if summary is not None:
        steps += _of_interval(summary)
    return steps + _of_calibration(run.task, views) + _never_predicted(run.task, views)


def _sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _of_history(run: Run, metrics: Metrics, *, advised: bool) -> list[str]:
    history = metrics.history
    if not history or metrics.best_epoch is None:
        return []
    best = history[metrics.best_epoch - 1]
    steps = _gaps(best.train, best.validation)
    if not advised and metrics.stopped == "epochs" and metrics.best_epoch == len(history) and len(history) > 1:
        steps.append(
            f"The last epoch was the best: train longer with more --epochs (now {run.config.settings.epochs})."
        )
    return steps


def _gaps(train: Mapping[str, float], validation: Mapping[str, float]) -> list[str]:
    """Return a note for the first fraction that is far better in training than on validation."""
    for name in train:
        metric = METRICS[name]
        if metric.percent and name in validation and train[name] - validation[name] > _GAP:
            return [
                f"In the best epoch the {metric.title} is {metric.text(train[name])} in training and "
                f"{metric.text(validation[name])} on validation: the model overfits. Try more dropout, more weight "
                "decay, a smaller model, or more training data."
            ]
    return []


def _of_interval(summary: Summary) -> list[str]:
    """Return a note if the interval of the compared metric is wide."""
    metric, interval = METRICS[summary.metric], summary.score.intervals.get(summary.metric)
    if interval is None or not metric.percent or not interval.high - interval.low > _WIDE:
        return []
    return [
        f"The 95 % interval of the {metric.title} is wide ({metric.text(interval.low)} to "
        f"{metric.text(interval.high)}), as it comes from {summary.score.examples:,} {summary.part} examples; "
        "more of them narrow it."
    ]


def _of_calibration(task: Task, views: TaskViews) -> list[str]:
    error = calibration_error(views.calibration) if views.calibration else 0.0
    if error <= _CALIBRATION_ERROR or getattr(task, "calibrate", False):
        return []
    return [
        f"The expected calibration error is {METRICS['calibration_error'].text(error)}: do not take probabilities at "
        "face value, or train with --calibrate, which scales them by a temperature chosen on validation."
    ]


def _never_predicted(task: Task, views: TaskViews) -> list[str]:
    """Return a note on classes that occur, but whose recall is 0."""
    for table in views.tables[:1]:
        names = [row.name for row in table.rows if row.support and not row.recall]
        if names:
            shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
            balanced = getattr(task, "has_classes", False)
            weights = ", or weigh classes equally with --class-weight balanced" if balanced else ""
            return [f"No example of {table.kind} {shown} is predicted correctly; add examples of it{weights}."]
    return []
