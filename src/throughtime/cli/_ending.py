"""How every training from the command line ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from throughtime._importing import INTERRUPTED, stopping_at_once
from throughtime.training import FitResult, Metrics
from throughtime.training import processes as several


def load_lightning() -> None:
    """Import what training needs, which takes seconds, before there is a run."""
    with stopping_at_once():
        import pytorch_lightning  # noqa: F401


@contextmanager
def training_into(out: Path) -> Iterator[None]:
    """Report what was saved when Ctrl-C ends a training outside of its steps."""
    try:
        yield
    except KeyboardInterrupt:
        if (out / "run.json").exists():
            _say(f"stopped; {out} keeps what was saved; --resume continues from there")
        else:
            _say("stopped before the training began; nothing was saved")
        raise typer.Exit(INTERRUPTED) from None


def end_training(result: FitResult, out: Path, show: Callable[[Console, Metrics], None]) -> None:
    """Print, in one process, that the training was stopped or what its results are; exit accordingly."""
    if result.interrupted:
        kept = "the best model so far" if result.metrics.best_epoch else "the model of the first steps"
        _say(f"stopped; {kept} is saved in {out}; --resume continues from here")
        raise typer.Exit(INTERRUPTED)
    if several.process() == 0:
        console = _console()
        if result.already_finished:
            console.print(f"{out} has finished already; nothing to do")
        show(console, result.metrics)


def _say(words: str) -> None:
    if several.process() == 0:
        _console().print(words)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True, markup=False)
