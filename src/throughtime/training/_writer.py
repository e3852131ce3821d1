"""What a training writes into its run while it goes on: state, best weights, figures; and when it ends."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.io import CheckpointIO

from throughtime.training._base_module import BaseModule
from throughtime.training._metrics import Metrics, best_epoch
from throughtime.training._run import Run
from throughtime.training._surroundings import StopRequest
from throughtime.training._tensor_file import read_tree, write_tree
from throughtime.training.processes import summed


class Stopped(Exception):  # noqa: N818 - an ending, not an error
    """The training ended in order because the user asked for it; its state is saved."""


class SafetensorsIO(CheckpointIO):
    """Lightning's checkpoints as one safetensors file each, rather than pickles."""

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
        checkpoint: dict[str, Any] = read_tree(Path(path))
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
    """

    def __init__(self, run: Run, stop: StopRequest) -> None:
        self.run = run
        self.settings = run.config.settings
        self.stop = stop
        self.saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring the figures to what the state says, if there is one, and end what was about to end."""
        module = _checked(pl_module)
        if module.history and trainer.is_global_zero:
            self.run.save_metrics(self._metrics(module))
        if module.history:
            trainer.should_stop = self._patience_is_over(module)

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
        metrics = self._metrics(module)
        if metrics.best_epoch == len(module.history) and trainer.is_global_zero:
            self.run.save_model(module.model)
        self._save(trainer)
        if trainer.is_global_zero:
            self.run.save_metrics(metrics)
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
        trainer.save_checkpoint(self.run.state_path, weights_only=False)
        self.saved_at = time.monotonic()

    def _metrics(self, module: BaseModule) -> Metrics:
        return Metrics(tuple(module.history), best_epoch(module.history, self.settings.monitor))

    def _patience_is_over(self, module: BaseModule) -> bool:
        best = best_epoch(module.history, self.settings.monitor)
        patience = self.settings.patience
        return patience is not None and best is not None and len(module.history) - best >= patience


def _checked(module: pl.LightningModule) -> BaseModule:
    if not isinstance(module, BaseModule):
        raise TypeError(f"RunWriter goes with a BaseModule, got a {type(module).__name__}")
    return module
