"""`write_comparison`: one page that compares several runs of any models, recurrent and convolutional."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from throughtime._words import counted
from throughtime.errors import RunError, UnsupportedError
from throughtime.learn.summary import Summary, read_summary
from throughtime.report._content import Curve
from throughtime.report._curves import curve_of
from throughtime.report._figures import learning_figure, metric_axis
from throughtime.report._html import Page, write_page
from throughtime.report._scores import metric_rows, option_text, verdict
from throughtime.report._titles import in_nats, model_title
from throughtime.report._view_figures import intervals_figure
from throughtime.tasks import METRICS
from throughtime.training import CUSTOM, Metrics, Run, Score


def write_comparison(path: Path, runs: Mapping[str, Run]) -> None:
    """Write a page that compares runs, atomically; only metrics that all of them have are compared.

    Parameters
    ----------
    path : Path
        The file.
    runs : mapping of str to Run
        Finished runs by the names that the page shows.

    Raises
    ------
    RunError
        If a run is unfinished or damaged.
    UnsupportedError
        If the runs have no metric in common.
    """
    write_page(path, render_comparison(runs))


def render_comparison(runs: Mapping[str, Run]) -> str:
    """Return the page as HTML; see `write_comparison`."""
    page = Page()
    compared = [_compared(name, run) for name, run in runs.items()]
    metrics = _common_metrics(compared)
    curves = _common_curves(compared, metrics)
    return page.render(
        "comparison.html.jinja",
        title="Comparison of " + counted(len(compared), "run"),
        names=[run.name for run in compared],
        notes=_notes(compared),
        metrics=metric_rows(metrics, [run.score for run in compared]),
        figure=page.embed(_figure(metrics[0], compared)),
        verdicts=[verdict(run.name, run.summary) for run in compared if run.summary is not None],
        rows=[_row(run) for run in compared],
        learning=page.embed(learning_figure(curves, nats=all(in_nats(run.run.task) for run in compared)))
        if curves
        else None,
        differences=_differences(compared),
    )


@dataclass(frozen=True)
class _Compared:
    """A run with its metrics."""

    name: str
    run: Run
    metrics: Metrics
    score: Score
    part: str
    summary: Summary | None


def _compared(name: str, run: Run) -> _Compared:
    metrics = run.metrics
    score = metrics.test or metrics.validation
    if score is None:
        raise RunError(
            f"{run.path} is unfinished and has no metrics yet; resume the training, or leave it out"
        )
    part = "test" if metrics.test is not None else "validation"
    return _Compared(name, run, metrics, score, part, read_summary(run))


def _common_metrics(compared: Sequence[_Compared]) -> list[str]:
    """Return the metrics of all runs, first the one that the first run was chosen by.

    Losses of different tasks are different quantities, which cannot be compared.
    """
    one_task = len({type(run.run.task) for run in compared}) == 1
    first = compared[0]
    names = [
        name
        for name in first.score.figures
        if all(name in run.score.figures for run in compared) and (one_task or name != "loss")
    ]
    if not names:
        shown = ", ".join(f"{run.name} is a run of task {run.run.task.name}" for run in compared)
        raise UnsupportedError(f"the runs have no metric in common ({shown}); compare runs of one task")
    monitored = first.run.config.settings.monitored(first.run.task)
    return sorted(names, key=lambda name: name != monitored)


def _common_curves(compared: Sequence[_Compared], names: Sequence[str]) -> list[Curve]:
    """Return the validation curves of the metrics that are compared and that all runs have by epoch."""
    curves = [
        curve_of(run.name, run.metrics.history) for run in compared if not run.run.config.model.is_blend
    ]
    common = [name for name in names if all(name in curve.validation for curve in curves)]
    if not common:
        return []
    return [Curve(curve.name, {}, {name: curve.validation[name] for name in common}) for curve in curves]


def _figure(metric: str, compared: Sequence[_Compared]) -> go.Figure:
    rows = []
    for run in compared:
        value, interval = run.score[metric], run.score.intervals.get(metric)
        known = interval is not None and not math.isnan(interval.low)
        low, high = (interval.low, interval.high) if known and interval is not None else (value, value)
        rows.append((run.name, value, low, high))
    return intervals_figure(metric_axis(metric), rows, 100.0 if METRICS[metric].percent else 1.0)


def _notes(compared: Sequence[_Compared]) -> list[str]:
    """Return what makes the comparison unfair."""
    notes = []
    if len({run.run.config.data.get("sha256") for run in compared}) > 1:
        notes.append(
            "The runs read different data, or split or encoded them differently, so differences of metrics "
            "may come from the data."
        )
    if len({run.part for run in compared}) > 1:
        parts = ", ".join(f"{run.name}: {run.part}" for run in compared)
        notes.append(f"The metrics are of different parts ({parts}).")
    if len({type(run.run.task) for run in compared}) > 1:
        tasks = ", ".join(f"{run.name}: {run.run.task.name}" for run in compared)
        notes.append(f"The runs have different tasks ({tasks}).")
    return notes


def _row(run: _Compared) -> dict[str, Any]:
    history = run.metrics.history
    seconds = sum(epoch.seconds for epoch in history)
    return {
        "name": run.name,
        "model": model_title(run.run.config.model),
        "parameters": _parameters(run.run),
        "examples": run.run.task.counted(run.score.examples, run.run.config.shape, run.part),
        "epochs": None if run.run.config.model.is_blend else len(history),
        "best_epoch": run.metrics.best_epoch,
        "seconds": seconds,
        "tokens_per_second": sum(epoch.tokens for epoch in history) / seconds if seconds else None,
    }


def _parameters(run: Run) -> int | None:
    """Return the number of parameters; None for a model of the caller's code, which cannot be built here."""
    if run.config.model.name == CUSTOM and run.factory is None:
        return None
    return sum(parameter.numel() for parameter in run.load_model().parameters())


def _differences(compared: Sequence[_Compared]) -> list[tuple[str, list[str]]]:
    """Return the options in which the runs differ, with the value of each run."""
    options = [_options(run.run) for run in compared]
    names = dict.fromkeys(name for values in options for name in values)
    rows = [(name, [values.get(name, "") for values in options]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _options(run: Run) -> dict[str, str]:
    config = run.config
    content = {
        "task": config.task.name,
        "data": Path(str(config.recipe.get("data") or "")).name,
        "model": config.model.name,
        **({} if config.model.is_blend else config.model.options),
        **config.settings.to_json(),
        **_flat(config.recipe.get("options")),
    }
    return {name: option_text(value) for name, value in content.items()}


def _flat(recipe: Any) -> dict[str, Any]:
    """Return the options of all groups of a recipe."""
    groups = recipe.values() if isinstance(recipe, dict) else ()
    return {name: value for group in groups if isinstance(group, dict) for name, value in group.items()}
