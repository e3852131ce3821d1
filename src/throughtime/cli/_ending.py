"""How every training from the command line ends."""

from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console

from throughtime.cli._demo import INTERRUPTED
from throughtime.training import FitResult, Metrics
from throughtime.training import processes as several


def end_training(result: FitResult, out: Path, show: Callable[[Console, Metrics], None]) -> None:
    """Say in one process that it was stopped, or show what came out; exit as a stopped command does."""
    if several.process() == 0:
        console = Console(highlight=False, soft_wrap=True)
        if result.interrupted:
            console.print(f"stopped; the best model so far is saved in {out}; --resume goes on from here")
        else:
            if result.already_finished:
                console.print(f"{out} has finished already; nothing to do")
            show(console, result.metrics)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
