"""``throughtime train``."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from throughtime.cli._demo import INTERRUPTED
from throughtime.data.tables import read_texts
from throughtime.data.text import split_texts
from throughtime.errors import DataError
from throughtime.training import ModelSpec, Run, Settings, fit

TASK = "text"
"""The task that runs of this command name in their configuration."""


@dataclass(frozen=True)
class TrainOptions:
    """The options of the command, as its help describes them."""

    data: Path
    out: Path
    text: str | None
    label: str | None
    model: str
    resume: bool
    validation: float
    test: float
    epochs: int
    patience: int
    tokens_per_batch: int
    learning_rate: float
    vocabulary: int
    lower_case: bool
    seed: int

    def task(self) -> dict[str, Any]:
        """Return what a later prediction, or a reader of the run, has to know."""
        kept = ("text", "label", "validation", "test", "vocabulary", "lower_case")
        return {"kind": TASK, **{name: value for name, value in asdict(self).items() if name in kept}}


def train(options: TrainOptions) -> None:
    """Train on a file or folder, and print what came out."""
    if not options.resume:
        Run.require_free(options.out)  # before minutes are spent on reading
    if not options.data.is_dir() and options.label is None:
        raise DataError(f"{options.data} is a table: name the column with the class (--label COLUMN)")
    source = split_texts(
        read_texts(options.data, options.text, options.label),
        validation=options.validation,
        test=options.test,
        vocabulary=options.vocabulary,
        lower_case=options.lower_case,
        seed=options.seed,
    )
    model = ModelSpec(options.model)
    settings = Settings(
        epochs=options.epochs,
        patience=options.patience,
        tokens_per_batch=options.tokens_per_batch,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    if options.resume:
        run = Run.open(options.out)
    else:
        run = Run.create(
            options.out,
            source=source,
            model=model,
            settings=settings,
            task=options.task(),
            tokenizer_json=source.tokenizer.to_str(pretty=True),
        )
    console = Console(highlight=False)
    result = fit(source, model, settings, run, resume=options.resume)
    if result.interrupted:
        console.print(f"stopped; the best model so far is saved in {options.out}; --resume goes on from here")
        raise typer.Exit(INTERRUPTED)
    if result.already_finished:
        console.print(f"{options.out} has finished already; nothing to do")
    _print_result(console, result.metrics, options)


def _print_result(console: Console, metrics: Any, options: TrainOptions) -> None:
    best = metrics.history[metrics.best_epoch - 1]
    console.print(f"best epoch {best.epoch}: validation accuracy {100 * best.validation_accuracy:.1f} %")
    if metrics.test is not None:
        console.print(
            f"test accuracy {100 * metrics.test.accuracy:.1f} % of {metrics.test.examples} examples"
        )
    console.print(f"saved in {options.out}; next: throughtime predict {options.out} FILE")
