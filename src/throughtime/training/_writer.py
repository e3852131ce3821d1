"""What a training writes into its run while it goes on: state, best weights, figures; and when it ends."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor
from torch.optim import Optimizer

from throughtime.training._base_module import BaseModule
from throughtime.training._lock import Hold
from throughtime.training._metrics import Metrics, best_epoch
from throughtime.training._run import Run
from throughtime.training._surroundings import StopRequest
from throughtime.training._tensor_file import read_tree, write_tree
from throughtime.training.processes import summed


class Stopped(Exception):  # noqa: N818 - an ending, not an error
    """The training ended in order because the user asked for it; its state is saved."""


class SafetensorsIO(CheckpointIO):
    """Lightning's checkpoints as one safetensors file each, rather than pickles.

    Parameters
    ----------
    state : dict, optional
        A checkpoint that was read already: what is loaded first.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._state = state

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write all state, atomically."""
        del storage_options
        write_tree(Path(path), checkpoint)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: Any = None,
        weights_only: bool | None = None,  # noqa: FBT001 - Lightning's signature
    ) -> dict[str, Any]:
        """Read all state; Lightning moves it to its devices."""
        del map_location, weights_only
        state, self._state = self._state, None
        checkpoint: dict[str, Any] = read_tree(Path(path)) if state is None else state
        return checkpoint

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class RunWriter(pl.Callback):
    """Keeps a run up to date.

    State is saved only where Lightning can take it up exactly: between two steps of an epoch, and when
    an epoch is over with its validation. The last step of an epoch is neither; a request to stop that
    comes then or during validation waits for the epoch's end.

    At an epoch's end the best weights are written first, then the state, then the figures. Killed in
    between, a resumed training repeats what the state does not know of, with the same result.

    Parameters
    ----------
    run : Run
        What to write into.
    stop : StopRequest
        What to end on.
    hold : Hold
        Of the run's folder.

    Attributes
    ----------
    began : bool
        Whether a state that was saved has been taken up, and steps have begun.
    """

    def __init__(self, run: Run, stop: StopRequest, hold: Hold) -> None:
        self.run = run
        self.settings = run.config.settings
        self.stop = stop
        self.hold = hold
        self.began = False
        self.saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring the figures to what the state says, if there is one, and end what was about to end."""
        module = _checked(pl_module)
        if module.history and trainer.is_global_zero:
            self._save_metrics(module)
        if module.history:
            trainer.should_stop = self._patience_is_over(module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check what was taken up of the optimizer; what may go wrong from now on is no fault of a state."""
        _check_optimizer(trainer.optimizers[0], _checked(pl_module))
        self.began = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the state if it is time to, and stop if asked to."""
        del outputs, batch
        module = _checked(pl_module)
        module.stop_clock()
        if trainer.is_last_batch:
            return
        # In any process, so that all of them do the same.
        asked, due = summed(self._asked_to_stop(trainer), self._is_due(batch_idx))
        if asked or due:
            self._save(trainer)
            module.restart_clock()
        if asked:
            raise Stopped

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the weights if they are the best, save the state, write the figures; stop if asked to."""
        module = _checked(pl_module)
        best = best_epoch(module.history, self.settings.monitor)
        if best == len(module.history) and trainer.is_global_zero:
            self.hold.require_there()
            self.run.save_model(module.model)
        self._save(trainer)
        if trainer.is_global_zero:
            self._save_metrics(module)
        trainer.should_stop = self._patience_is_over(module)
        if any(summed(self._asked_to_stop(trainer))):
            raise Stopped

    def _asked_to_stop(self, trainer: pl.Trainer) -> bool:
        return self.stop.made or trainer.received_sigterm

    def _is_due(self, batch_idx: int) -> bool:
        steps, seconds = self.settings.checkpoint_every_steps, self.settings.checkpoint_every_seconds
        if steps is not None and (batch_idx + 1) % steps == 0:
            return True
        return seconds is not None and time.monotonic() - self.saved_at >= seconds

    def _save(self, trainer: pl.Trainer) -> None:
        self.hold.require_there()
        trainer.save_checkpoint(self.run.state_path, weights_only=False)
        self.saved_at = time.monotonic()

    def _save_metrics(self, module: BaseModule) -> None:
        self.hold.require_there()
        best = best_epoch(module.history, self.settings.monitor)
        self.run.save_metrics(Metrics(tuple(module.history), best))

    def _patience_is_over(self, module: BaseModule) -> bool:
        best = best_epoch(module.history, self.settings.monitor)
        patience = self.settings.patience
        return patience is not None and best is not None and len(module.history) - best >= patience


def _checked(module: pl.LightningModule) -> BaseModule:
    if not isinstance(module, BaseModule):
        raise TypeError(f"RunWriter goes with a BaseModule, got a {type(module).__name__}")
    return module


def _check_optimizer(optimizer: Optimizer, module: BaseModule) -> None:
    """Check that an optimizer's state is one of these parameters and settings.

    Raises
    ------
    ValueError
        If it is not.
    """
    fresh = module.configure_optimizers().param_groups
    for group, expected in zip(optimizer.param_groups, fresh, strict=True):
        kept = group.keys() - {"params", "lr"}
        if {key: group[key] for key in kept} != {key: expected.get(key) for key in kept}:
            raise ValueError("the settings of its optimizer are others than those of the run")
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if not isinstance(value, Tensor) or value.shape not in {parameter.shape, torch.Size()}:
                raise ValueError(f"its optimizer's {name} has another shape than the parameter it is of")
