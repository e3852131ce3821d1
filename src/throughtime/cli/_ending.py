"""The end of a training run from the command line: messages and exit codes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from throughtime._importing import INTERRUPTED, stopping_at_once
from throughtime.training import FitResult, Metrics
from throughtime.training import processes as several


def load_lightning() -> None:
    """Import Lightning, which takes seconds, before the run folder is created."""
    with stopping_at_once():
        import pytorch_lightning  # noqa: F401


@contextmanager
def training_into(out: Path) -> Iterator[None]:
    """Report what was saved when Ctrl-C stops a training between its steps."""
    try:
        yield
    except KeyboardInterrupt:
        if (out / "run.json").exists():
            say(f"stopped; {out} holds the last saved state; continue with --resume")
        else:
            say("stopped before the training began; nothing was saved")
        raise typer.Exit(INTERRUPTED) from None


def end_training(
    result: FitResult, out: Path, show: Callable[[Console, Metrics], None], *, quiet: bool = False
) -> None:
    """Print the results, or that the training was stopped, in one process; set the exit code."""
    if result.interrupted:
        if result.run.config.model.is_blend:
            say(f"stopped; {out} holds the models trained so far; continue with --resume")
            raise typer.Exit(INTERRUPTED)
        if not result.run.has_model:
            say(f"stopped before {out} had a model; begin again with --resume")
            raise typer.Exit(INTERRUPTED)
        saved = "the best model so far" if result.metrics.best_epoch else "the model trained so far"
        say(f"stopped; {saved} is saved in {out}; continue with --resume")
        raise typer.Exit(INTERRUPTED)
    if several.process() == 0:
        console = _console(quiet=quiet)
        if result.already_finished:
            console.print(f"the training in {out} is already finished")
        show(console, result.metrics)


def say(words: str, *, quiet: bool = False) -> None:
    """Print a line, in one process of several."""
    if several.process() == 0:
        _console(quiet=quiet).print(words)


def _console(*, quiet: bool = False) -> Console:
    return Console(highlight=False, soft_wrap=True, markup=False, quiet=quiet)
