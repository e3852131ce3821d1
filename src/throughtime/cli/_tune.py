"""``throughtime tune``: a search for the best model and options, and a run with them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer

from throughtime._importing import INTERRUPTED
from throughtime.cli._ending import end_training, load_lightning, say
from throughtime.cli._train import show_results
from throughtime.learn.tune import Request, TrialPrinter, Tuned, require_optuna, search


@dataclass(frozen=True)
class TuneCommand:
    """The arguments of the command, as its help describes them."""

    data: Path
    out: Path
    task: str | None
    model: str | None
    options: Mapping[str, Any]
    trials: int | None
    budget: str | None
    resume: bool
    baselines: bool
    threads: int | None
    device: str | None
    quiet: bool

    def run(self) -> None:
        """Search, train the best run, compare it with baselines, and print the results."""
        require_optuna()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        load_lightning()
        with _searching_in(self.out):
            tuned = search(
                self.data,
                self.out,
                Request(self.task, self.model, self.options),
                trials=self.trials,
                budget=self.budget,
                resume=self.resume,
                device=self.device,
                printer=TrialPrinter.printing(quiet=self.quiet),
            )
            self._show(tuned)

    def _show(self, tuned: Tuned) -> None:
        fitted = tuned.fitted
        end_training(
            fitted.result,
            tuned.run.path,
            lambda console, metrics: show_results(console, metrics, fitted, baselines=self.baselines),
            quiet=self.quiet,
        )
        best = tuned.best
        say(
            f"best of {len(tuned.trials)} trials: {best.number}; the same run is trained by", quiet=self.quiet
        )
        say(tuned.command, quiet=self.quiet)


@contextmanager
def _searching_in(out: Path) -> Iterator[None]:
    """Report what was saved when Ctrl-C stops a search."""
    try:
        yield
    except KeyboardInterrupt:
        if out.exists():
            say(f"stopped; {out} holds the finished trials; continue with --resume")
        else:
            say("stopped before the first trial ended; nothing was saved")
        raise typer.Exit(INTERRUPTED) from None
