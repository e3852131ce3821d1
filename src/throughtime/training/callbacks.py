"""Lightning callbacks, for any Lightning trainer. Importing this module imports Lightning."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import nn

from throughtime.diagnose import Watch, gradient_flow, watch
from throughtime.errors import ShapeError
from throughtime.training._batch_size import RaggedBatchSize
from throughtime.training._files import writing
from throughtime.training._gradient_file import GradientRecord, layer_gradients
from throughtime.training._metrics import EpochMetrics
from throughtime.training._module import TrainingModule

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["AfterEpoch", "GradientRecorder", "RaggedBatchSize", "layer_gradients"]


class AfterEpoch(pl.Callback):
    """Call a function with the metrics of each epoch of `throughtime.training.fit`.

    Parameters
    ----------
    call : callable
        Takes `throughtime.training.EpochMetrics`. An exception that it raises ends the training.

    Examples
    --------
    >>> losses = []
    >>> callback = AfterEpoch(lambda epoch: losses.append(epoch.validation["loss"]))
    """

    def __init__(self, call: Callable[[EpochMetrics], None]) -> None:
        self.call = call

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call the function."""
        del trainer
        if isinstance(pl_module, TrainingModule):
            self.call(pl_module.history[-1])


class GradientRecorder(pl.Callback):
    """Record gradient flow every N training steps, one JSON line per recorded step.

    The forward and backward pass of the step itself is recorded: nothing is computed twice, and the weights
    are bit for bit those of a training without the callback. A line is a `GradientRecord`. A resumed training
    repeats some steps; of records of the same step the last one counts (see `read_gradients`).

    Parameters
    ----------
    path : str or Path
        File to append to.
    every
        N, the number of steps between two records.

    Attributes
    ----------
    seconds : float
        Time spent on recording so far.

    Examples
    --------
    >>> import pytorch_lightning as pl
    >>> from throughtime.training.callbacks import GradientRecorder
    >>> trainer = pl.Trainer(callbacks=[GradientRecorder("gradients.jsonl", every=50)], logger=False)
    """

    def __init__(self, path: str | Path, every: int = 100) -> None:
        if every < 1:
            raise ShapeError(f"GradientRecorder: every must be at least 1; got {every}")
        self.path, self.every, self.seconds = Path(path), every, 0.0
        self._open: tuple[AbstractContextManager[Watch], Watch] | None = None
        self._loss: float | None = None
        self._norms: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start recording if this step is due."""
        del batch, batch_idx
        if trainer.global_step % self.every == 0 and self._open is None:
            self._timed(lambda: self._begin(pl_module))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        """Store the loss."""
        del trainer, pl_module
        if self._open is not None:
            self._loss = float(loss.detach())

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a record."""
        del pl_module
        if self._open is not None:
            self._timed(lambda: self._write(trainer))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Store the norm of the gradient before clipping."""
        del trainer, optimizer

        def store_norm() -> None:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self._norms.append(float(nn.utils.get_total_norm(gradients)))

        self._timed(store_norm)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the remaining norms."""
        del pl_module
        if self._norms:
            self._add(GradientRecord(trainer.global_step, trainer.current_epoch, (), self._taken_norms()))

    def _taken_norms(self) -> tuple[float, ...]:
        norms, self._norms = tuple(self._norms), []
        return norms

    def _add(self, record: GradientRecord) -> None:
        with writing(self.path), self.path.open("ab") as file:
            # A killed training may have left an incomplete line.
            begin = b"\n" if file.tell() and not self._ends_in_newline() else b""
            file.write(begin + json.dumps(record.to_json(), allow_nan=False).encode() + b"\n")

    def _ends_in_newline(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Stop recording."""
        self._close()

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Stop recording."""
        self._close()

    def _begin(self, pl_module: pl.LightningModule) -> None:
        context = watch(pl_module)
        self._open = context, context.__enter__()

    def _write(self, trainer: pl.Trainer) -> None:
        if self._open is None:
            return
        begin = time.perf_counter()
        layers = layer_gradients(gradient_flow(self._open[1]))
        self._close()
        seconds = time.perf_counter() - begin
        record = GradientRecord(
            trainer.global_step, trainer.current_epoch, layers, self._taken_norms(), self._loss, seconds
        )
        self._add(record)

    def _close(self) -> None:
        if self._open is not None:
            self._open[0].__exit__(None, None, None)
            self._open = None

    def _timed(self, action: Callable[[], None]) -> None:
        begin = time.perf_counter()
        action()
        self.seconds += time.perf_counter() - begin
