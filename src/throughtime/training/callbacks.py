"""Lightning callbacks for users' own trainers, too. Importing this imports Lightning."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import nn

from throughtime.diagnose import GradientFlow, Watch, gradient_flow, watch
from throughtime.errors import ShapeError
from throughtime.training._batch_size import RaggedBatchSize
from throughtime.training._files import writing

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["GradientRecorder", "RaggedBatchSize", "flow_record"]

# Longer profiles no picture shows.
_MOST = 256


class GradientRecorder(pl.Callback):
    """Write down how gradients flow, every so many steps of a training: one JSON line per step in a file.

    The step is an ordinary one: its own forward and backward pass are watched, nothing is computed twice, and
    the result is the same bits. A line holds ``step``, ``epoch``, ``loss``, ``seconds`` (what recording took
    beside the pass itself), ``norms`` (of the whole gradient before clipping, at every step since the last
    line), and for every layer and direction the mean norms of ∂L/∂h (and ∂L/∂c) by distance from where it
    stops to read, and how many units of each gate are closed and open. A training that is resumed repeats
    some steps; of equal steps the last line counts (see `read_gradients`).

    Parameters
    ----------
    path : str or Path
        Lines are added to it.
    every
        Steps from one record to the next.

    Attributes
    ----------
    seconds : float
        What recording has taken so far.

    Examples
    --------
    >>> import pytorch_lightning as pl
    >>> from throughtime.training.callbacks import GradientRecorder
    >>> trainer = pl.Trainer(callbacks=[GradientRecorder("gradients.jsonl", every=50)], logger=False)
    """

    def __init__(self, path: str | Path, every: int = 100) -> None:
        if every < 1:
            raise ShapeError(f"GradientRecorder records every so many steps, at least 1; got {every}")
        self.path, self.every, self.seconds = Path(path), every, 0.0
        self._open: tuple[AbstractContextManager[Watch], Watch] | None = None
        self._loss: float | None = None
        self._norms: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to watch, if it is time."""
        del batch, batch_idx
        if trainer.global_step % self.every == 0 and self._open is None:
            self._spending(lambda: self._begin(pl_module))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        """Note the loss."""
        del trainer, pl_module
        if self._open is not None:
            self._loss = float(loss.detach())

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write down what was seen."""
        del pl_module
        if self._open is not None:
            self._spending(lambda: self._write(trainer))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Note the norm of the gradient before it is clipped."""
        del trainer, optimizer

        def note() -> None:
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self._norms.append(float(nn.utils.get_total_norm(gradients)))

        self._spending(note)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write down the last norms."""
        del pl_module
        if self._norms:
            self._add({"step": trainer.global_step, "epoch": trainer.current_epoch, "layers": []})

    def _add(self, line: dict[str, Any]) -> None:
        line["norms"], self._norms = self._norms, []
        with writing(self.path), self.path.open("ab") as file:
            # A training that was killed may have left half of a line.
            begin = b"\n" if file.tell() and not self._ends_in_newline() else b""
            file.write(begin + json.dumps(_finite(line), allow_nan=False).encode() + b"\n")

    def _ends_in_newline(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Stop watching."""
        self._close()

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Leave the model alone."""
        self._close()

    def _begin(self, pl_module: pl.LightningModule) -> None:
        context = watch(pl_module)
        self._open = context, context.__enter__()

    def _write(self, trainer: pl.Trainer) -> None:
        if self._open is None:
            return
        begin = time.perf_counter()
        layers = flow_record(gradient_flow(self._open[1]))
        self._close()
        line = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "loss": self._loss,
            "seconds": time.perf_counter() - begin,
            "layers": layers,
        }
        self._add(line)

    def _close(self) -> None:
        if self._open is not None:
            self._open[0].__exit__(None, None, None)
            self._open = None

    def _spending(self, action: Callable[[], None]) -> None:
        begin = time.perf_counter()
        action()
        self.seconds += time.perf_counter() - begin


def _finite(content: Any) -> Any:
    """Return JSON values with null for each number that is not finite, which JSON cannot write."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def flow_record(flow: GradientFlow) -> list[dict[str, Any]]:
    """Return the layers of one line of a record."""
    found = []
    for layer in flow.layers:
        means = {
            of: layer.profile(of, quantiles=()).mean[:_MOST].tolist()
            for of in ("h", "c")
            if getattr(layer, of) is not None
        }
        saturation = {
            name: {"closed": float(one.closed.values.mean()), "open": float(one.open.values.mean())}
            for name, one in layer.saturation.items()
        }
        place = {"name": layer.name, "layer": layer.layer, "direction": layer.direction, "kind": layer.kind}
        found.append({**place, **means, "saturation": saturation})
    return found
