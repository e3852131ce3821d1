"""Metrics of a run beside those of baselines: table, verdict, and what to do next."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from throughtime.learn.summary import Summary
from throughtime.tasks import METRICS
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
    values: tuple[str, ...]
    best: tuple[bool, ...]
    """Whether a model has the best value."""


def metric_rows(names: Iterable[str], scores: Sequence[Score]) -> list[MetricRow]:
    """Return a row for each metric, with the value and interval of each score."""
    return [_row(name, scores) for name in names]


def _row(name: str, scores: Sequence[Score]) -> MetricRow:
    metric = METRICS[name]
    values = [score.figures.get(name, math.nan) for score in scores]
    known = [value for value in values if not math.isnan(value)]
    best = (max if metric.better == "higher" else min)(known, default=math.nan)
    several = len(known) > 1
    texts = tuple(with_interval(score, name) for score in scores)
    return MetricRow(metric.title, metric.description, texts, tuple(several and value == best for value in values))


def with_interval(score: Score, name: str) -> str:
    """Return the value of a metric and its 95 % interval as text, such as "87.2 % (84.1 – 89.9)"."""
    if name not in score.figures:
        return ""
    metric, interval = METRICS[name], score.intervals.get(name)
    text = metric.text(score[name])
    if interval is None or math.isnan(interval.low):
        return text
    low, high = (metric.text(end).removesuffix(" %") for end in (interval.low, interval.high))
    return f"{text} ({low} – {high})"


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
        steps += _of_score(summary)
    return steps + _never_predicted(views)


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


def _of_score(summary: Summary) -> list[str]:
    steps, score, metric = [], summary.score, METRICS[summary.metric]
    error = score.figures.get("calibration_error", 0.0)
    if error > _CALIBRATION_ERROR:
        steps.append(
            f"The expected calibration error is {METRICS['calibration_error'].text(error)}: probabilities should not "
            "be taken at face value. Try --calibrate, which scales them by a temperature chosen on validation."
        )
    interval = score.intervals.get(summary.metric)
    if interval is not None and metric.percent and interval.high - interval.low > _WIDE:
        steps.append(
            f"The 95 % interval of the {metric.title} is wide ({metric.text(interval.low)} to "
            f"{metric.text(interval.high)}), as it comes from {score.examples:,} {summary.part} examples. More of them "
            "give a firmer figure."
        )
    return steps


def _never_predicted(views: TaskViews) -> list[str]:
    """Return a note on classes that occur, but whose recall is 0."""
    steps = []
    for table in views.tables:
        names = [row.name for row in table.rows if row.support and not row.recall]
        if names:
            shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
            steps.append(
                f"No example of {table.kind} {shown} is predicted correctly. If it is rare, add examples of it, or "
                "weigh classes equally with --class-weight balanced."
            )
    return steps
