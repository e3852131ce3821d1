"""Callback that saves state, best weights and metrics to the run, and stops the training on request."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor
from torch.optim import Optimizer

from throughtime.training._lock import Hold
from throughtime.training._metrics import Metrics, best_epoch
from throughtime.training._module import TrainingModule
from throughtime.training._run import Run
from throughtime.training._surroundings import StopRequest
from throughtime.training._tensor_file import read_tree, write_tree
from throughtime.training.processes import summed


class Stopped(Exception):  # noqa: N818 - not an error
    """The training was stopped on request after saving its state."""


class SafetensorsIO(CheckpointIO):
    """Checkpoint plugin that stores a Lightning checkpoint as a safetensors file instead of a pickle.

    Parameters
    ----------
    state : dict, optional
        Checkpoint that the first load returns instead of reading a file.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._state = state

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint atomically."""
        del storage_options
        write_tree(Path(path), checkpoint)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any = None,
        weights_only: bool | None = None,  # noqa: FBT001 - Lightning's signature
    ) -> dict[str, Any]:
        """Read a checkpoint on the CPU; Lightning moves it to its devices."""
        del map_location, weights_only
        state, self._state = self._state, None
        checkpoint: dict[str, Any] = read_tree(Path(path)) if state is None else state
        return checkpoint

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class RunWriter(pl.Callback):
    """Callback that saves the progress of a training to its run.

    The state is saved only where Lightning can resume exactly: between two steps of an epoch, and after the
    validation of an epoch. A request to stop during the last step or validation is handled at the end of the
    epoch.

    At the end of an epoch, the best weights are written first, then the state, then the metrics. If the
    training is killed in between, resuming repeats the steps since the saved state, with the same result.

    Parameters
    ----------
    run : Run
        The run to write to.
    stop : StopRequest
        Request to stop the training.
    hold : Hold
        Lock on the folder of the run.
    resumable : bool
        Whether to save the state.

    Attributes
    ----------
    began : bool
        Whether the steps have begun, after a saved state was loaded.
    """

    def __init__(self, run: Run, stop: StopRequest, hold: Hold, *, resumable: bool = True) -> None:
        self.run = run
        self.resumable = resumable
        self.settings = run.config.settings
        self.stop = stop
        self.hold = hold
        self.began = False
        self.saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the metrics of a resumed state, and stop if its patience is over."""
        module = _checked(pl_module)
        if module.history and trainer.is_global_zero:
            self._save_metrics(module)
        if module.history:
            trainer.should_stop = self._patience_is_over(module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the loaded state of the optimizer; later exceptions are not due to the state."""
        _check_optimizer(trainer.optimizers[0], _checked(pl_module))
        self.began = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the state if it is due, and stop if requested."""
        del outputs, batch
        module = _checked(pl_module)
        module.stop_clock()
        if trainer.is_last_batch:
            return
        # Summed over processes, so that all of them do the same.
        stop_requested, due = summed(self._stop_requested(trainer), self._is_due(batch_idx))
        if stop_requested or due:
            self._save(trainer)
            module.restart_clock()
        if stop_requested:
            raise Stopped

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the weights if they are to be kept, the state and the metrics; stop if requested."""
        module = _checked(pl_module)
        stop_requested, due = summed(self._stop_requested(trainer), self._is_due_after(module))
        if due or stop_requested:
            if self._kept_epoch(module) == len(module.history) and trainer.is_global_zero:
                self.hold.require_there()
                self.run.save_model(module.model)
            self._save(trainer)
            if trainer.is_global_zero:
                self._save_metrics(module)
        trainer.should_stop = self._patience_is_over(module)
        if stop_requested:
            raise Stopped

    def _stop_requested(self, trainer: pl.Trainer) -> bool:
        return self.stop.made or trainer.received_sigterm

    def _kept_epoch(self, module: TrainingModule) -> int | None:
        """Return the epoch whose weights are kept."""
        if self.settings.keep == "last":
            return len(module.history) or None
        return best_epoch(module.history, self.settings.monitored(module.task))

    def _is_due_after(self, module: TrainingModule) -> bool:
        """Return whether to save after an epoch."""
        if self.settings.keep == "best" or len(module.history) == self.settings.epochs:
            return True
        return self.resumable and self._is_due(module.totals.steps - 1)

    def _is_due(self, batch_idx: int) -> bool:
        steps, seconds = self.settings.checkpoint_every_steps, self.settings.checkpoint_every_seconds
        if steps is not None and (batch_idx + 1) % steps == 0:
            return True
        return seconds is not None and time.monotonic() - self.saved_at >= seconds

    def _save(self, trainer: pl.Trainer) -> None:
        if not self.resumable:
            return
        self.hold.require_there()
        trainer.save_checkpoint(self.run.state_path, weights_only=False)
        self.saved_at = time.monotonic()

    def _save_metrics(self, module: TrainingModule) -> None:
        self.hold.require_there()
        self.run.save_metrics(Metrics(tuple(module.history), self._kept_epoch(module)))

    def _patience_is_over(self, module: TrainingModule) -> bool:
        best, patience = self._kept_epoch(module), self.settings.patience
        return patience is not None and best is not None and len(module.history) - best >= patience


def _checked(module: pl.LightningModule) -> TrainingModule:
    if not isinstance(module, TrainingModule):
        raise TypeError(f"RunWriter needs a TrainingModule, got a {type(module).__name__}")
    return module


def _check_optimizer(optimizer: Optimizer, module: TrainingModule) -> None:
    """Check that the state of an optimizer matches the parameters and settings of a module.

    Raises
    ------
    ValueError
        If it does not.
    """
    expected_groups = module.configure_optimizers().param_groups
    for group, expected in zip(optimizer.param_groups, expected_groups, strict=True):
        settings = group.keys() - {"params", "lr"}
        if {key: group[key] for key in settings} != {key: expected.get(key) for key in settings}:
            raise ValueError("the settings of its optimizer differ from those of the run")
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if not isinstance(value, Tensor) or value.shape not in {parameter.shape, torch.Size()}:
                raise ValueError(f"{name} of its optimizer has another shape than the parameter")
