"""``throughtime train``: a run from a file, its metrics beside those of baselines, and its report."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from throughtime._fields import Fields
from throughtime.cli._ending import end_training, load_lightning, say, training_into
from throughtime.data.printable import printable
from throughtime.data.table import Table as DataTable
from throughtime.errors import RunError, UnsupportedError
from throughtime.learn import AUTO, Recipe, fit_recipe
from throughtime.learn.auto import Outcome, read_outcome
from throughtime.learn.encoder_options import input_options
from throughtime.learn.fitting import Fitted, table_of
from throughtime.learn.folds import fold_parts, without_rare_classes
from throughtime.learn.prepared import with_columns
from throughtime.learn.split import Parts
from throughtime.learn.summary import Summary, summarize, write_summary
from throughtime.learn.usable import usable_rows
from throughtime.tasks import METRICS, Task
from throughtime.training import Metrics, Run
from throughtime.training import processes as several

_MOST_COLUMNS = 3


@dataclass(frozen=True)
class TrainCommand:
    """The arguments of the command, as its help describes them."""

    data: Path
    out: Path
    task: str | None
    model: str | None
    options: Mapping[str, Any]
    resume: bool
    seeds: int
    folds: int | None
    baselines: bool
    watch_every: int
    threads: int | None
    device: str | None
    logger: str | None
    quiet: bool

    def run(self) -> None:
        """Train, compare with baselines, and print the results."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.seeds > 1 or self.folds is not None:
            self._several()
            return
        with training_into(self.out):
            self._once(self.out, self._recipe(self.out))

    def _several(self) -> None:
        """Train with several seeds or on several folds, and print means and deviations."""
        if self.resume:
            raise UnsupportedError(
                "--seeds and --folds cannot be resumed as a whole; resume one of their runs"
            )
        if self.seeds > 1 and self.folds is not None:
            raise UnsupportedError("--seeds and --folds were both given; leave one out")
        recipe = self._recipe(self.out)
        trainings = self._seeds(recipe) if self.folds is None else self._folds(recipe, self.folds)
        figures: list[Mapping[str, float]] = []
        for name, once in trainings:
            say(name.replace("-", " "), quiet=self.quiet)
            with training_into(self.out / name):
                metrics = once(self.out / name).result.metrics
            score = metrics.test or metrics.validation
            figures.append({} if score is None else score.figures)
        if not self.quiet:
            print_means(figures, "seeds" if self.folds is None else "folds")

    def _seeds(self, recipe: Recipe) -> Iterator[tuple[str, Callable[[Path], Fitted]]]:
        first = recipe.optimizer.seed
        for seed in range(first, first + self.seeds):
            other = replace(recipe, optimizer=replace(recipe.optimizer, seed=seed))
            yield f"seed-{seed}", partial(self._once, recipe=other)

    def _folds(self, recipe: Recipe, folds: int) -> Iterator[tuple[str, Callable[[Path], Fitted]]]:
        table = table_of(recipe, self.data)
        recipe = with_columns(recipe, table)
        used = usable_rows(recipe, input_options(recipe), table)
        table, notes = without_rare_classes(recipe, used.table, folds)
        for note in (*used.notes, *notes):
            say(f"note: {note}", quiet=self.quiet)
        for number, parts in enumerate(fold_parts(recipe, table, folds), 1):
            yield f"fold-{number}", partial(self._once, recipe=recipe, table=table, rows=parts)

    def _recipe(self, out: Path) -> Recipe:
        """Return the recipe, of a resumed run with the options that are not given."""
        if not self._resumes(out):
            if several.process() == 0:
                Run.require_free(out)  # fail before reading large files
            return Recipe.parse(self.task or "classification", self.model or AUTO, self.options)
        run = Run.open(out)
        try:
            saved = Recipe.from_json(Fields(run.config.recipe, "recipe.").value("options"))
        except ValueError as error:
            raise RunError(f"{run.path / 'config.json'} is damaged: {error}; restore the file") from error
        if self.task not in (None, saved.task) or self.model not in (None, saved.model):
            raise RunError(
                f"{out} is a run of task {saved.task} with model {saved.model}; leave out "
                "--task and --model, or choose another --out"
            )
        return saved.parsed(self.options)

    def _resumes(self, out: Path) -> bool:
        return self.resume or (several.was_restarted() and out.exists())

    def _once(
        self, out: Path, recipe: Recipe, *, table: DataTable | None = None, rows: Parts | None = None
    ) -> Fitted:
        load_lightning()
        fitted = fit_recipe(
            recipe,
            self.data if table is None else table,
            rows=rows,
            out=out,
            resume=self._resumes(out),
            progress=not self.quiet,
            watch_every=self.watch_every,
            device=self.device,
            logger=self.logger,
        )
        several.leave()
        for note in (*fitted.prepared.notes, *fitted.prepared.choices):
            say(f"note: {note}", quiet=self.quiet)
        result = fitted.result
        end_training(
            result,
            out,
            lambda console, metrics: show_results(console, metrics, fitted, baselines=self.baselines),
            quiet=self.quiet,
        )
        return fitted


def show_results(console: Console, metrics: Metrics, fitted: Fitted, *, baselines: bool) -> None:
    """Print the metrics of a finished run, beside those of baselines, and write them and the report."""
    run = fitted.result.run
    outcome = read_outcome(run)
    if outcome is not None:
        print_outcome(console, outcome, run.task)
    else:
        best = metrics.history[(metrics.best_epoch or 1) - 1]
        console.print(f"best epoch {best.epoch}: validation {run.task.describe(best.validation)}")
    summary = summarize(fitted.prepared, run, baselines=baselines)
    if summary is None:
        if metrics.test is not None:
            examples = run.task.counted(metrics.test.examples, run.config.shape)
            console.print(f"test {run.task.describe(metrics.test.figures)} on {examples}")
        write_report(run, fitted)
        console.print(f"saved in {run.path}, report in {run.path / 'report.html'}")
        console.print(f"next: throughtime sample {run.path}")
        return
    write_summary(run, summary)
    print_summary(console, summary, run)
    write_report(run, fitted)
    console.print(f"saved in {run.path}, report in {run.path / 'report.html'}")
    console.print(f"next: throughtime predict {run.path} FILE")


def write_report(run: Run, fitted: Fitted) -> None:
    """Write the report of a run."""
    from throughtime.report import write_run_report

    write_run_report(run, fitted.prepared)


def print_outcome(console: Console, outcome: Outcome, task: Task) -> None:
    """Print the models of a blend, with their metrics on held-out rows and their weights, as a table."""
    names = [name for name in task.shown if name in outcome.figures]
    table = Table(show_edge=False, pad_edge=False)
    table.add_column(f"held-out rows ({outcome.rows:,})", overflow="fold")
    for title in ("copies", *(METRICS[name].title for name in names), "weight", "time"):
        table.add_column(title, justify="right", overflow="fold")
    for member in outcome.members:
        values = (_text(name, member.figures.get(name)) for name in names)
        weight = f"{member.weight:.2f}" if member.weight else "left out"
        table.add_row(member.model, str(member.copies), *values, weight, f"{member.seconds:.1f} s")
    table.add_row("blend", "", *(_text(name, outcome.figures.get(name)) for name in names))
    console.print(table)


def print_summary(console: Console, summary: Summary, run: Run) -> None:
    """Print the metrics of a model and of baselines as a table, and what to do if a baseline is better."""
    names, model = shown_metrics(summary, run.task), run.config.model.name
    table = Table(show_edge=False, pad_edge=False)
    examples = run.task.counted(summary.score.examples, run.config.shape)
    table.add_column(f"{summary.part} ({examples})", overflow="fold")
    for name in names:
        table.add_column(METRICS[name].title, justify="right", overflow="fold")
    table.add_row(model, *(_with_interval(summary, name) for name in names))
    for baseline in summary.baselines:
        figures = baseline.score.figures
        table.add_row(baseline.name, *(_text(name, figures.get(name)) for name in names))
    console.print(table)
    best = summary.best_baseline
    if best is not None and not summary.beats_baselines:
        console.print(
            f"{model} is no better than {best.name} in {METRICS[summary.metric].title}; what to try:",
            style="bold",
        )
        for line in summary.advice:
            console.print(f"- {line}", soft_wrap=False)


def shown_metrics(summary: Summary, task: Task) -> list[str]:
    """Return the names of the metrics in the table, the one that is compared first."""
    figures = summary.score.figures
    names = [name for name in task.headline if name in figures and name != summary.metric]
    return [summary.metric, *names][:_MOST_COLUMNS]


def _with_interval(summary: Summary, name: str) -> str:
    text = _text(name, summary.score.figures.get(name))
    interval = summary.score.intervals.get(name)
    if interval is None:
        return text
    return f"{text} ({METRICS[name].between(interval.low, interval.high)})"


def _text(name: str, value: float | None) -> str:
    return "–" if value is None else METRICS[name].text(value)


def print_means(figures: list[Mapping[str, float]], what: str) -> None:
    """Print mean and standard deviation of each metric over seeds or folds."""
    console = Console(highlight=False)
    for name in dict.fromkeys(name for part in figures for name in part):
        values = [part[name] for part in figures if name in part]
        if len(values) < 2:  # such as ROC AUC, where the test rows of other folds have one class
            continue
        metric = METRICS[name]
        console.print(
            printable(
                f"{metric.title}: {metric.text(mean(values))} ± {metric.text(stdev(values))} "
                f"over {len(values)} {what}"
            )
        )
