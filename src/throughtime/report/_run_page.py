"""`write_run_report`: the page of one training, with metrics beside baselines, curves, data and errors."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from torch import nn

from throughtime._words import counted
from throughtime.data.stored_examples import AnyExamples
from throughtime.errors import RunError
from throughtime.learn import Prepared
from throughtime.learn.auto import read_outcome
from throughtime.learn.bounded import targets_of
from throughtime.learn.summary import Summary, read_summary, summarize
from throughtime.report._class_figures import CONFUSION_COLOURS, calibration_figure, confusion_figure
from throughtime.report._curves import curve_of
from throughtime.report._example_rows import ExampleRow, example_rows
from throughtime.report._figures import learning_figure, validation_figure
from throughtime.report._html import Page, write_page
from throughtime.report._numbers import duration
from throughtime.report._scores import metric_rows, next_steps, option_text, sentence, verdict
from throughtime.report._titles import in_nats, model_title, run_title
from throughtime.report._view_figures import counts_figure, histogram_figure, roc_figure, scatter_figure
from throughtime.tasks import METRICS, SequenceTask, TargetView, TaskViews, model_outputs
from throughtime.tasks.calibration import calibration_error
from throughtime.tasks.metrics import ClassMetrics
from throughtime.tasks.outputs import by_row
from throughtime.tasks.views import ClassTable, histogram
from throughtime.training import Run, Score

NAME = "report.html"
_Embed = Callable[..., Markup]
_MOST_TARGETS = 4
_MOST_CLASSES = 100
_MOST_COLUMNS = 4
_KINDS = {"multilabel": "label", "tagging": "tag"}
"""What the targets of a task are counted as, if not as classes."""
_MARKS = {
    "tagging": "Orange tokens have the wrong tag.",
    "anomaly": "The stronger the orange, the more surprising the token or step.",
}
_LINES = "Lines show the values of each series by step, from left to right, over their own range."


def write_run_report(run: Run, prepared: Prepared) -> Path:
    """Write the page of a finished training into its folder, atomically, and return its path.

    The model is run once on the test examples, or on the validation examples if there are none.

    Parameters
    ----------
    run : Run
        A finished run; its ``summary.json``, if there is one, has the metrics of baselines.
    prepared : Prepared
        The data of the run.

    Raises
    ------
    RunError
        If the run is unfinished or damaged.
    """
    path = run.path / NAME
    write_page(path, render_run_report(run, prepared))
    return path


def render_run_report(run: Run, prepared: Prepared) -> str:
    """Return the page as HTML; see `write_run_report`."""
    metrics = run.metrics
    score = metrics.test or metrics.validation
    if score is None:
        raise RunError(f"{run.path} is unfinished and has no metrics yet; resume the training")
    page, model = Page(), run.load_model()
    summary = read_summary(run) or summarize(prepared, run, baselines=False)
    held_out = _held_out(run, prepared, model)
    views = TaskViews() if held_out is None else held_out.views
    model_name, kind = model_title(run.config.model), _KINDS.get(run.task.name, "class")
    return page.render(
        "run.html.jinja",
        title=run_title(run),
        verdict=_score_sentence(run, score) if summary is None else verdict(model_name, summary),
        good=summary is None or summary.beats_baselines,
        facts=_facts(run, prepared, model),
        measured=_measured(run, prepared, score, held_out),
        models=[model_name, *(() if summary is None else (baseline.name for baseline in summary.baselines))],
        metrics=_metric_rows(score, summary),
        steps=next_steps(run, summary, views),
        history=[] if run.config.model.is_blend else _history(run, page.embed),
        blend=_blend(run),
        kind=kind,
        data=_data(prepared, kind, page.embed),
        views=_views(views, kind, page.embed),
        groups=[] if held_out is None else _groups(held_out, prepared),
        options=sorted((name, option_text(value)) for name, value in prepared.recipe.values().items()),
        path=shlex.quote(str(run.path)),
    )


@dataclass(frozen=True)
class _HeldOut:
    """The examples that the figures are taken of, and what the task shows of them."""

    examples: AnyExamples
    rows: int
    views: TaskViews


def _held_out(run: Run, prepared: Prepared, model: nn.Module) -> _HeldOut | None:
    task = run.task
    if not isinstance(task, SequenceTask):
        return None
    source = prepared.source
    examples = source.test if source.test is not None else source.validation
    outputs, targets = by_row(model_outputs(model, examples), examples)
    return _HeldOut(examples, len(targets), task.views(model, outputs, targets))


def _measured(run: Run, prepared: Prepared, score: Score, held_out: "_HeldOut | None") -> str:
    """Return what the metrics were measured on, such as "90 test sequences (1,362 tokens)"."""
    part = "test" if run.metrics.test is not None else "validation"
    shape = prepared.source.shape
    if held_out is None or run.task.level == "sequence":
        return run.task.counted(score.examples, shape, part)
    return f"{counted(held_out.rows, f'{part} sequence')} ({run.task.counted(score.examples, shape)})"


def _score_sentence(run: Run, score: Score) -> str:
    part = "test" if run.metrics.test is not None else "validation"
    return f"{model_title(run.config.model)}: {part} {run.task.describe(score.figures)}."


def _metric_rows(score: Score, summary: Summary | None) -> Sequence[Any]:
    if summary is None:
        return metric_rows(score.figures, [score])
    names = [summary.metric, *(name for name in score.figures if name != summary.metric)]
    constant = [baseline.score for baseline in summary.baselines if baseline.reads_inputs is False]
    return metric_rows(names, [score, *(baseline.score for baseline in summary.baselines)], constant)


def _facts(run: Run, prepared: Prepared, model: nn.Module) -> list[tuple[str, str]]:
    config, metrics = run.config, run.metrics
    outcome = read_outcome(run)
    options = ", ".join(f"{name} {option_text(value)}" for name, value in config.model.options.items())
    if outcome is not None:
        options = ", ".join(f"{part.copies} × {part.model}" for part in outcome.members if part.weight)
    parts = {name: len(part) for name, part in _parts(prepared).items()}
    file = run.recipe_entry("data", str, None, default=None)
    seconds = sum(epoch.seconds for epoch in metrics.history)
    facts = [
        ("model", model_title(config.model) + (f" ({options})" if options else "")),
        ("parameters", f"{sum(parameter.numel() for parameter in model.parameters()):,}"),
        ("data", "Python objects" if file is None else Path(file).name),
        ("rows", ", ".join(f"{size:,} {name}" for name, size in parts.items())),
        (
            "epochs",
            "" if outcome is not None else f"{len(metrics.history)}, the best was {metrics.best_epoch}",
        ),
        ("training time", duration(seconds)),
        ("seed", str(config.settings.seed)),
    ]
    return [(name, value) for name, value in facts if value]


def _blend(run: Run) -> dict[str, Any] | None:
    """Return the table of the models of a blend; None for a single model."""
    outcome = read_outcome(run)
    if outcome is None:
        return None
    names = [name for name in run.task.headline if name in outcome.figures] + ["loss"]
    names = list(dict.fromkeys(names))[:_MOST_COLUMNS]

    def cells(figures: Mapping[str, float]) -> list[str]:
        return [METRICS[name].text(figures[name]) if name in figures else "–" for name in names]

    rows = [
        (part.model, part.copies, cells(part.figures), part.weight, part.seconds) for part in outcome.members
    ]
    return {
        "titles": [METRICS[name].title for name in names],
        "rows": rows,
        "blend": cells(outcome.figures),
        "held_out": outcome.rows,
        "folds": outcome.folds,
    }


def _parts(prepared: Prepared) -> dict[str, AnyExamples]:
    """Return the parts of the data that exist; none for next-step models."""
    source = prepared.source
    if not isinstance(prepared.task, SequenceTask):
        return {}
    parts = {"training": source.training(0), "validation": source.validation, "test": source.test}
    return {name: part for name, part in parts.items() if part is not None}


def _history(run: Run, embed: _Embed) -> list[Markup]:
    curve = curve_of(model_title(run.config.model), run.metrics.history)
    others = {name: values for name, values in curve.validation.items() if name not in curve.train}
    return [
        embed(learning_figure([curve], nats=in_nats(run.task))),
        *([embed(validation_figure(others))] if others else []),
    ]


def _data(prepared: Prepared, kind: str, embed: _Embed) -> dict[str, Any]:
    parts, task = _parts(prepared), prepared.task
    if not isinstance(task, SequenceTask):
        return {"lengths": None, "length": None, "targets": [], "choices": []}
    lengths = {name: part.lengths.numpy() for name, part in parts.items()}
    every = np.unique(np.concatenate(list(lengths.values())))
    one_length = len(every) == 1
    unit = "steps" if "channels" in prepared.source.shape else "tokens"
    figure = None if one_length else histogram_figure(histogram(f"{unit} per sequence", lengths))
    return {
        "unit": unit,
        "choices": [sentence(choice) for choice in prepared.choices],
        "length": int(every[0]) if one_length else None,
        "lengths": None if figure is None else embed(figure),
        "targets": _targets(
            {name: task.target_view(targets_of(part)) for name, part in parts.items()},
            kind,
            embed,
        ),
    }


def _targets(parts: Mapping[str, TargetView], kind: str, embed: _Embed) -> list[Markup]:
    figures = []
    if any(sum(view.counts.values()) for view in parts.values()):
        figures.append(counts_figure({name: view.counts for name, view in parts.items()}, kind))
    first = next(iter(parts.values()))
    for target in list(first.values)[:_MOST_TARGETS]:
        values = {name: view.values[target] for name, view in parts.items()}
        figures.append(histogram_figure(histogram(target, values)))
    return [embed(figure) for figure in figures]


def _views(views: TaskViews, kind: str, embed: _Embed) -> dict[str, Any]:
    matrix = views.confusion
    return {
        "tables": [ClassTable(table.kind, _worst(table.rows)) for table in views.tables],
        "classes": [len(table.rows) for table in views.tables],
        "confusion": None
        if matrix is None
        else embed(confusion_figure(matrix.classes, matrix.counts, kind), CONFUSION_COLOURS),
        "confusion_classes": 0 if matrix is None else len(matrix.classes),
        "calibration": embed(calibration_figure(views.calibration)) if views.calibration else None,
        "calibration_error": calibration_error(views.calibration) if views.calibration else None,
        "scatters": [embed(scatter_figure(points)) for points in views.scatters[:_MOST_TARGETS]],
        "histograms": [embed(histogram_figure(part)) for part in views.histograms[:_MOST_TARGETS]],
        "threshold": any(part.threshold is not None for part in views.histograms),
        "roc": None if views.roc is None else embed(roc_figure(views.roc)),
    }


def _worst(rows: Sequence[ClassMetrics]) -> tuple[ClassMetrics, ...]:
    """Return the classes, of many those with the lowest F1."""
    chosen = sorted(range(len(rows)), key=lambda i: rows[i].f1)[:_MOST_CLASSES]
    return tuple(rows[i] for i in sorted(chosen))


def _groups(held_out: _HeldOut, prepared: Prepared) -> list[dict[str, Any]]:
    return [
        {"title": group.title, "rows": rows, "legend": _legend(rows, prepared.task.name)}
        for group in held_out.views.examples
        for rows in [example_rows(group, prepared, held_out.examples)]
    ]


def _legend(rows: Sequence[ExampleRow], task: str) -> str:
    """Return what the colours and lines of examples are."""
    marks = _MARKS.get(task, "") if any(row.words or row.bands for row in rows) else ""
    lines = _LINES if any(row.lines for row in rows) else ""
    return f"{lines} {marks}".strip()
