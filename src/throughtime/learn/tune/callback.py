"""`TrialCallback`: the callback that reports each epoch to Optuna, prunes the trial, and limits the time.

Importing this module imports Lightning and Optuna.
"""

import time
from typing import Any

import optuna
import pytorch_lightning as pl

from throughtime.training import EpochMetrics
from throughtime.training.callbacks import AfterEpoch


class OutOfTime(Exception):  # noqa: N818 - not an error
    """The time of the search ended during a trial.

    Parameters
    ----------
    epoch_seconds : float
        Estimate of the time of an epoch.
    """

    def __init__(self, epoch_seconds: float) -> None:
        super().__init__()
        self.epoch_seconds = epoch_seconds


class TrialCallback(AfterEpoch):
    """Report the validation metric of each epoch to a trial of Optuna.

    Parameters
    ----------
    trial : optuna.Trial
        The trial.
    metric : str
        Name of the metric.
    deadline : float or None
        Time by `time.monotonic` at which the training ends.

    Attributes
    ----------
    history : list of EpochMetrics
        The epochs so far.

    Raises
    ------
    optuna.TrialPruned
        From the training, if the pruner of the study says so.
    OutOfTime
        From the training, at the deadline.
    """

    def __init__(self, trial: optuna.Trial, metric: str, deadline: float | None = None) -> None:
        super().__init__(self._report)
        self.history: list[EpochMetrics] = []
        self._trial, self._metric, self._deadline = trial, metric, deadline
        self._began = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        del trainer, pl_module
        self._began = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the training at the deadline."""
        del pl_module, outputs, batch
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            epochs = trainer.current_epoch + (batch_idx + 1) / max(1.0, trainer.num_training_batches)
            raise OutOfTime((now - self._began) / epochs)

    def _report(self, epoch: EpochMetrics) -> None:
        self.history.append(epoch)
        self._trial.report(epoch.validation[self._metric], epoch.epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned
