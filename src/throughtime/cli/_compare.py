"""``throughtime compare``: the metrics of several runs side by side, and a page that compares them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughtime.data.printable import printable
from throughtime.errors import RunError
from throughtime.learn.summary import read_summary
from throughtime.report import run_names, write_comparison
from throughtime.tasks import METRICS
from throughtime.training import Run, Score

_MOST_METRICS = 3


@dataclass(frozen=True)
class _Row:
    """A model, or the best baseline of its run, with its metrics."""

    name: str
    score: Score
    part: str
    parameters: int | None
    seconds: float


def compare(paths: Sequence[Path], out: Path | None) -> None:
    """Print the metrics of runs and of their best baselines; with a path, also write a page."""
    runs = [Run.open(path) for path in paths]
    named = dict(zip(run_names(runs), runs, strict=True))
    if len(named) < len(runs):
        raise RunError("a run was given twice; name each run once")
    rows = [row for name, run in named.items() for row in _rows(name, run)]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_comparison(out, named)
    console = Console(highlight=False)
    console.print(_table(rows, _shown(named, rows)))
    if out is not None:
        console.print(f"saved in {printable(str(out))}", soft_wrap=True, markup=False)


def _rows(name: str, run: Run) -> Iterator[_Row]:
    metrics, summary = run.metrics, read_summary(run)
    score = metrics.test or metrics.validation
    if score is None:
        raise RunError(
            f"{run.path} is unfinished and has no metrics yet; resume the training, or leave it out"
        )
    examples = run.task.counted(score.examples, run.config.shape)
    part = f"{'validation' if metrics.test is None else 'test'} ({examples})"
    parameters = sum(parameter.numel() for parameter in run.load_model().parameters())
    yield _Row(name, score, part, parameters, sum(epoch.seconds for epoch in metrics.history))
    if summary is not None and summary.best_baseline is not None:
        best = summary.best_baseline
        yield _Row(f"  {best.name}", best.score, part, None, best.seconds)


def _shown(runs: dict[str, Run], rows: Sequence[_Row]) -> list[str]:
    """Return the metrics of most runs, first those that the best epochs were chosen by."""
    monitored = [run.config.settings.monitored(run.task) for run in runs.values()]
    names = dict.fromkeys([*monitored, *(name for row in rows for name in row.score.figures)])
    counts = {name: sum(name in row.score.figures for row in rows) for name in names if name in METRICS}
    return sorted(counts, key=lambda name: (name not in monitored, -counts[name]))[:_MOST_METRICS]


def _table(rows: Sequence[_Row], metrics: Sequence[str]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("on", overflow="fold")
    for name in metrics:
        table.add_column(METRICS[name].title, justify="right", overflow="fold")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    for row in rows:
        size = "" if row.parameters is None else f"{row.parameters:,}"
        cells = [_with_interval(row.score, name) for name in metrics]
        table.add_row(Text(printable(row.name)), row.part, *cells, size, f"{row.seconds:.1f} s")
    return table


def _with_interval(score: Score, name: str) -> str:
    value = score.figures.get(name)
    if value is None:
        return "–"
    interval = score.intervals.get(name)
    text = METRICS[name].text(value)
    return text if interval is None else f"{text} ({METRICS[name].between(interval.low, interval.high)})"
