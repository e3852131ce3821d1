"""Progress display: a live line on a terminal, and one line per epoch."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from throughtime.tasks import METRICS, Task
from throughtime.training._metrics import EpochMetrics, best_epoch
from throughtime.training._module import TrainingModule

_SECONDS_BETWEEN_FRAMES = 0.1


class ProgressDisplay(pl.Callback):
    """Callback that shows epoch, step, loss, accuracy, tokens per second, and remaining time.

    Parameters
    ----------
    console : Console
        Console for the output; the live line is shown only on a terminal.
    lines : bool
        Whether to print a line for each epoch.
    """

    def __init__(self, console: Console, *, lines: bool = True) -> None:
        self.console = console
        self.lines = lines
        self._live: Live | None = None
        self._drawn_at = 0.0
        self._began: tuple[float, float] | None = None
        self._headed = False

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the live line during the training."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the time and the completed fraction, to estimate the remaining time."""
        del trainer
        if isinstance(pl_module, TrainingModule):
            self._began = time.monotonic(), pl_module.share_done(pl_module.loader.next_batch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the live line, at most ten times a second."""
        del trainer, outputs, batch
        now = time.monotonic()
        if self._live is None or now - self._drawn_at < _SECONDS_BETWEEN_FRAMES:
            return
        if isinstance(pl_module, TrainingModule) and pl_module.totals.examples:
            self._live.update(self._line(pl_module, batch_idx + 1), refresh=True)
            self._drawn_at = now

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show that validation is running."""
        del trainer, pl_module
        if self._live is not None:
            self._live.update(Text("validating …"), refresh=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of the epoch."""
        del trainer
        if self.lines and isinstance(pl_module, TrainingModule):
            history, settings = pl_module.history, pl_module.settings
            best = best_epoch(history, settings.monitored(pl_module.task)) == len(history)
            if not self._headed:
                self.console.print(
                    epoch_header(pl_module.task, settings.epochs), highlight=False, soft_wrap=True
                )
                self._headed = True
            line = epoch_line(pl_module.task, history[-1], settings.epochs, best=best)
            self.console.print(line, highlight=False, soft_wrap=True)

    def _line(self, module: TrainingModule, step: int) -> Table:
        totals, epochs = module.totals, module.settings.epochs
        speed = totals.tokens / totals.seconds if totals.seconds else 0.0
        text = (
            f"epoch {module.current_epoch + 1}/{epochs}  step {step}/{len(module.loader)}  "
            f"{module.task.describe(module.task.derived(totals.means))}  "
            f"{speed:,.0f} tokens/s  "
            f"{self._time_left(module.share_done(step))}"
        )
        return line_of(text, step, len(module.loader), self.console.width)

    def _time_left(self, done: float) -> str:
        if self._began is None or done <= self._began[1]:
            return ""
        elapsed = time.monotonic() - self._began[0]
        return f"{duration(elapsed / (done - self._began[1]) * (1 - done))} left"


def line_of(text: str, done: int, total: int, width: int) -> Table:
    """Return a line with a progress bar of up to 20 columns, as far as they fit, and a text."""
    bar = min(20, width - len(text) - 1)
    line = Table.grid(padding=(0, 1))
    shown = Text(text, no_wrap=True, overflow="ellipsis")
    if bar < 4:
        line.add_row(shown)
    else:
        line.add_row(ProgressBar(total=total, completed=done, width=bar), shown)
    return line


def epoch_header(task: Task, epochs: int) -> str:
    """Return the names of the columns of `epoch_line`; each metric is shown for training and validation."""
    names = "  ".join(f"{_heading(name):>{_width(name)}}" for name in task.shown)
    return f"{'epoch':>{max(5, 2 * len(str(epochs)) + 1)}}  {names}  {'tokens/s':>9}  {'time':>7}"


def epoch_line(task: Task, epoch: EpochMetrics, epochs: int, *, best: bool) -> str:
    """Return the metrics of an epoch as one line of text."""
    place = f"{epoch.epoch}/{epochs}"
    values = "  ".join(
        f"{f'{_number(name, epoch.train)} / {_number(name, epoch.validation)}':>{_width(name)}}"
        for name in task.shown
    )
    return (
        f"{place:>{max(5, 2 * len(str(epochs)) + 1)}}  {values}  {epoch.tokens_per_second:>9,.0f}  "
        f"{duration(epoch.seconds):>7}{'  best' if best else ''}"
    )


def _heading(name: str) -> str:
    return f"{METRICS[name].title} train / val."


def _width(name: str) -> int:
    return max(len(_heading(name)), 17)


def _number(name: str, figures: Mapping[str, float]) -> str:
    return METRICS[name].text(figures[name]) if name in figures else "–"


def duration(seconds: float) -> str:
    """Format a duration.

    Examples
    --------
    >>> duration(4.25), duration(75), duration(3661)
    ('4.2 s', '1:15', '1:01:01')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole_seconds:02}"
    return f"{minutes}:{whole_seconds:02}"
