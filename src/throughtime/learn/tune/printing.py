"""`TrialPrinter`: prints a line for each trial."""

from dataclasses import dataclass

from rich.console import Console

from throughtime.learn.tune.trials import Trial
from throughtime.tasks import METRICS

_MODEL_WIDTH = 13


@dataclass(frozen=True)
class TrialPrinter:
    """Prints the trials of a search.

    Parameters
    ----------
    console : Console
        Where to print.
    """

    console: Console

    @classmethod
    def printing(cls, *, quiet: bool = False) -> "TrialPrinter":
        """Return one that prints to standard output, or nothing."""
        return cls(Console(highlight=False, soft_wrap=True, markup=False, quiet=quiet))

    @property
    def quiet(self) -> bool:
        """Whether it prints nothing."""
        return self.console.quiet

    def begin(self, models: tuple[str, ...], metric: str) -> None:
        """Print what is searched, and the names of the columns."""
        title = METRICS[metric].title
        self.console.print(f"searching {', '.join(models)} by validation {title}")
        self.console.print(
            f"{'trial':>5}  {'model':<{_MODEL_WIDTH}}  {title:>{_width(metric)}}  {'epochs':>7}  {'time':>8}"
        )

    def trial(self, trial: Trial, metric: str, *, best: bool) -> None:
        """Print a finished trial."""
        self.console.print(trial_line(trial, metric, best=best))

    def say(self, words: str) -> None:
        """Print a line."""
        self.console.print(words)


def trial_line(trial: Trial, metric: str, *, best: bool = False) -> str:
    """Return number, model, metric, epochs, time and end of a trial as one line.

    Examples
    --------
    >>> from throughtime.learn.tune.trials import Outcome
    >>> outcome = Outcome("complete", 0.875, 0.4, 4, 5, 12.34)
    >>> trial_line(Trial(3, "bilstm", {}, 5, None, outcome), "accuracy", best=True)
    '    3  bilstm           87.5 %      5/5    12.3 s  complete  best'
    """
    outcome = trial.outcome
    parts = [
        f"{trial.number:>5}",
        f"{trial.model:<{_MODEL_WIDTH}}",
        f"{METRICS[metric].text(outcome.value):>{_width(metric)}}",
        f"{f'{outcome.epochs_trained}/{trial.epochs}':>7}",
        f"{outcome.seconds:>6.1f} s",
        outcome.state,
        *([] if trial.repeats is None else [f"trial {trial.repeats} with all epochs"]),
        *(["best"] if best else []),
    ]
    return "  ".join(parts)


def _width(metric: str) -> int:
    return max(8, len(METRICS[metric].title))
