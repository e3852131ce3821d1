"""Metrics of a run beside those of baselines: table, verdict, and what to do next."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from throughtime._options import named
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


def metric_rows(
    names: Iterable[str], scores: Sequence[Score], constant: Sequence[Score] = ()
) -> list[MetricRow]:
    """Return a row for each metric, with the value and interval of each score.

    Those in ``constant`` are of baselines that do not read the inputs. They are never marked as the best: a
    majority class has a recall of 100 % without any use.
    """
    return [_row(name, scores, constant) for name in names]


def _row(name: str, scores: Sequence[Score], constant: Sequence[Score]) -> MetricRow:
    metric = METRICS[name]
    values = [
        math.nan if any(score is other for other in constant) else score.figures.get(name, math.nan)
        for score in scores
    ]
    known = [value for value in values if not math.isnan(value)]
    best = (max if metric.better == "higher" else min)(known, default=math.nan)
    several = len(known) > 1
    cells = tuple(
        _cell(score, name, best=several and value == best)
        for score, value in zip(scores, values, strict=True)
    )
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
    """Return one sentence: the metric with its interval, and whether the model beats the best baseline."""
    title = METRICS[summary.metric].title
    start = f"{model}: {summary.part} {title} {with_interval(summary.score, summary.metric)}"
    best = summary.best_baseline
    if best is None:
        return f"{start}."
    ending = "the model beats it" if summary.beats_baselines else "the model does not beat it"
    return f"{start}; {best.name} {METRICS[summary.metric].text(best.score[summary.metric])}: {ending}."


def next_steps(run: Run, summary: Summary | None, views: TaskViews) -> list[str]:
    """Return what was noticed and what to try next."""
    advised = [] if summary is None else [*summary.advice, *summary.notes]
    metrics = run.metrics
    noticed = (
        None if run.config.model.is_blend else _gap(metrics),
        None if run.config.model.is_blend or (summary and summary.advice) else _unfinished(metrics),
        None if summary is None else _wide_interval(run, summary),
        _calibration(run.task, views),
        _never_predicted(run.task, views),
    )
    return [*map(sentence, advised), *(step for step in noticed if step is not None)]


def sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _gap(metrics: Metrics) -> str | None:
    """Return a note if a fraction is far better in training than on validation in the best epoch."""
    best = metrics.history[(metrics.best_epoch or 1) - 1]
    for name, value in best.train.items():
        metric = METRICS[name]
        if metric.percent and value - best.validation.get(name, value) > _GAP:
            return (
                f"In the best epoch, the {metric.title} is {metric.text(value)} in training and "
                f"{metric.text(best.validation[name])} on validation. To narrow this gap, try more dropout, "
                "more weight decay, a smaller model, or more training data."
            )
    return None


def _unfinished(metrics: Metrics) -> str | None:
    """Return a note if the last epoch was the best."""
    epochs = len(metrics.history)
    if metrics.stopped != "epochs" or metrics.best_epoch != epochs or epochs == 1:
        return None
    return f"The last of {epochs} epochs was the best: train longer, with {named('epochs', 3 * epochs)}."


def _wide_interval(run: Run, summary: Summary) -> str | None:
    metric, interval = METRICS[summary.metric], summary.score.intervals.get(summary.metric)
    if interval is None or not metric.percent or not interval.high - interval.low > _WIDE:
        return None
    low, high = metric.text(interval.low), metric.text(interval.high)
    examples = run.task.counted(summary.score.examples, run.config.shape, summary.part)
    return (
        f"The 95 % interval of the {metric.title} is wide ({low} to {high}), as it comes from "
        f"{examples}; more of them narrow it."
    )


def _calibration(task: Task, views: TaskViews) -> str | None:
    error = calibration_error(views.calibration) if views.calibration else 0.0
    if error <= _CALIBRATION_ERROR or getattr(task, "calibrate", False):
        return None
    text = METRICS["calibration_error"].text(error)
    return (
        f"The expected calibration error is {text}: do not take probabilities at face value, or train with "
        f"{named('calibrate', value=True)}, which scales them by a temperature chosen on validation."
    )


def _never_predicted(task: Task, views: TaskViews) -> str | None:
    """Return a note on classes that occur, but whose recall is 0."""
    for table in views.tables[:1]:
        names = [row.name for row in table.rows if row.support and not row.recall]
        if names:
            shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
            balanced = getattr(task, "has_classes", False)
            balance = named("class_weight", "balanced")
            weights = f", or weigh classes equally with {balance}" if balanced else ""
            return f"No example of {table.kind} {shown} is predicted correctly; add examples of it{weights}."
    return None


def option_text(value: Any) -> str:
    """Return the value of an option as text.

    Examples
    --------
    >>> option_text(("title", "body")), option_text(()), option_text(0.5)
    ('title, body', 'none', '0.5')
    """
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
