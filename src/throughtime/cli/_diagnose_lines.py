"""The terminal output of ``throughtime diagnose`` for one run."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from throughtime._words import counted
from throughtime.data.printable import printable
from throughtime.diagnose import LayerHorizon
from throughtime.report import BagOfWordsScore, ClassifierQuality, NextStepQuality, RunDiagnosis

_STYLES = {"problem": "bold red", "warning": "yellow", "note": "cyan"}


def show(console: Console, run: RunDiagnosis) -> None:
    """Print the quality of the model, the findings and the Lyapunov exponents."""
    diagnosis = run.diagnosis
    for line in _quality(run.quality):
        console.print(printable(line), soft_wrap=True, markup=False)
    if run.no_problems is not None:
        console.print(run.no_problems, soft_wrap=True, markup=False)
    for finding in diagnosis.findings:
        console.print(f"[{_STYLES[finding.severity]}]{finding.severity}[/] ", end="")
        console.print(f"{finding.where}: {finding.verdict}", soft_wrap=True, markup=False)
        console.print(f"  {finding.why} {finding.advice}", style="dim", soft_wrap=True, markup=False)
    if diagnosis.lyapunov:
        console.print(_horizons(diagnosis.horizons))


def _quality(quality: ClassifierQuality | NextStepQuality | None) -> list[str]:
    if quality is None:
        return []
    if isinstance(quality, NextStepQuality):
        return [f"{quality.figure} on the step after each sequence"]
    line = f"{_scores(quality)} on {counted(quality.rows, 'row')}"
    bag = quality.bag_of_words
    if bag is None:
        return [line, f"not compared with a bag of words: {quality.no_bag_of_words}"]
    fitted = f"the {bag.training_rows:,} training rows"
    if bag.fitted_to < bag.training_rows:
        fitted = f"{bag.fitted_to:,} of {fitted}"
    return [
        f"{line} outside of the training data",
        f"{_scores(bag)} by a bag of words, fitted to {fitted}",
    ]


def _scores(quality: ClassifierQuality | BagOfWordsScore) -> str:
    return f"accuracy {100 * quality.accuracy:.1f} %, loss {quality.loss:.3f}"


def _horizons(layers: Sequence[LayerHorizon]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("1 % left after")
    for title in ("gradient of the loss", "slowest direction", "Lyapunov exponent"):
        table.add_column(title, justify="right")
    for layer in layers:
        table.add_row(
            f"{layer.name}{', from the end' if layer.direction else ''}",
            f"over {layer.steps} steps" if layer.loss is None else counted(layer.loss, "step"),
            "does not shrink" if layer.slowest is None else f"{layer.slowest:.0f} steps",
            "" if layer.exponent is None else f"{layer.exponent:+.3f} per step",
        )
    return table
