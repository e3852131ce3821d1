"""`BaseModule`: the common part of the Lightning modules, with metrics and clipping. Writes no files.

All random numbers of a step are derived from (seed, epoch, step), so no random state is saved.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from throughtime._fields import Fields
from throughtime.data.batches import BatchLoader, derived_seed
from throughtime.data.window_batches import WindowLoader
from throughtime.diagnose import AdaptiveClip, locate_not_finite
from throughtime.errors import NotFiniteError, UnsupportedError
from throughtime.nn import GRU, LSTM, RNN
from throughtime.training._metrics import EpochMetrics, history_of, loss_and_accuracy
from throughtime.training._settings import Settings
from throughtime.training._state import STATE
from throughtime.training.processes import processes


@dataclass
class Totals:
    """Sums over the steps of an epoch so far."""

    steps: int = 0
    examples: int = 0
    correct: int = 0
    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0

    @classmethod
    def from_json(cls, content: Any) -> "Totals":
        """Build the sums from JSON values; raises ValueError if one is missing or of the wrong type."""
        return Fields(content, "totals.").dataclass(cls)

    def add(self, loss: float, correct: int, examples: int, tokens: int) -> None:
        """Count a step whose loss, summed over its examples, was ``loss``."""
        self.steps += 1
        self.examples += examples
        self.correct += correct
        self.loss += loss
        self.tokens += tokens


class BaseModule(pl.LightningModule):
    """Optimizer, clipping and metrics, shared by `TrainingModule` and `NextStepModule`.

    Parameters
    ----------
    model : Module
        The model to train.
    settings : Settings
        Training settings.
    """

    loader: BatchLoader | WindowLoader
    """The batches of the current epoch."""
    validation: Any
    """The batches of each validation."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        percentile = settings.clip_percentile
        self.adaptive = None if percentile is None else AdaptiveClip(percentile)
        if settings.clip_recurrent is not None:
            _bound_steps(model, settings.clip_recurrent)
        self.history: list[EpochMetrics] = []
        self.totals = Totals()
        self._validated = Totals()
        self._since = 0.0
        self._again: Callable[[], Tensor] | None = None

    # ------------------------------------------------------------------ data

    def train_dataloader(self) -> BatchLoader | WindowLoader:
        """Return the batches of the current epoch; Lightning asks before each."""
        self.loader.set_epoch(self.trainer.current_epoch)
        return self.loader

    def val_dataloader(self) -> Any:
        """Return the validation batches."""
        return self.validation

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to where the weights are."""
        del dataloader_idx
        return batch.to(device)

    # -------------------------------------------------------------- training

    def configure_optimizers(self) -> Optimizer:
        """Return AdamW; its learning rate is set before each step."""
        settings = self.settings
        return AdamW(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def on_train_start(self) -> None:
        """Start the clock."""
        self.restart_clock()

    def on_train_epoch_start(self) -> None:
        """Begin an epoch, which a resumed one does not do again."""
        self.totals = Totals()
        self.restart_clock()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step from (seed, epoch, step), and set its learning rate."""
        del batch
        self.seed_step(batch_idx)
        self.totals.learning_rate = self.settings.learning_rate_at(self.share_done(batch_idx + 0.5))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.totals.learning_rate

    def seed_step(self, batch_idx: int) -> None:
        """Set the random seed of a step of the current epoch."""
        torch.manual_seed(derived_seed("step", self.settings.seed, self.current_epoch, batch_idx))

    def count(
        self,
        loss: float,
        correct: int,
        examples: int,
        tokens: int,
        batch_idx: int,
        again: Callable[[], Tensor],
    ) -> None:
        """Count a training step, unless its loss, summed over its examples, is not finite.

        ``again`` computes the loss anew, to find out where it, or a gradient of it, went wrong.
        """
        self._again = again
        if not math.isfinite(loss):
            raise self._not_finite("the loss", loss, f", step {batch_idx + 1}{self._where(batch_idx)}")
        self.totals.add(loss, correct, examples, tokens)

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        """Bound the entries of gradients, and scale them down to a norm, as the settings say."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.settings.clip_value is not None:
            nn.utils.clip_grad_value_(parameters, self.settings.clip_value)
        if self.adaptive is not None:
            self.adaptive(parameters)
            return
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip or math.inf).item()
        if not math.isfinite(norm):
            step = self.totals.steps
            raise self._not_finite("the norm of the gradients", norm, f", step {step}{self._where(step - 1)}")

    def share_done(self, steps: float) -> float:
        """Return the fraction of the training done after this many steps of the current epoch."""
        return (self.current_epoch + steps / len(self.loader)) / self.settings.epochs

    def stop_clock(self) -> None:
        """Count the time since the clock was started as training."""
        now = time.perf_counter()
        self.totals.seconds += now - self._since
        self._since = now

    def restart_clock(self) -> None:
        """Leave out the time since the clock was stopped."""
        self._since = time.perf_counter()

    # ------------------------------------------------------------ validation

    def on_validation_epoch_start(self) -> None:
        """Begin a validation."""
        self._validated = Totals()

    def on_validation_epoch_end(self) -> None:
        """Append the metrics of the epoch."""
        train, validation = self.totals, self.validated()
        loss = validation.loss / validation.examples
        if not math.isfinite(loss):
            raise self._not_finite("the validation loss", loss, "")
        self.history.append(
            EpochMetrics(
                epoch=self.current_epoch + 1,
                steps=train.steps,
                train_loss=train.loss / train.examples,
                train_accuracy=train.correct / train.examples,
                validation_loss=loss,
                validation_accuracy=validation.correct / validation.examples,
                learning_rate=train.learning_rate,
                tokens=train.tokens,
                seconds=train.seconds,
            )
        )

    def validated(self) -> Totals:
        """Return the sums of this validation."""
        return self._validated

    def describe(self, loss: float, accuracy: float) -> str:
        """Return loss and accuracy as text."""
        return loss_and_accuracy(loss, accuracy)

    # ----------------------------------------------------------------- state

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the metrics so far."""
        checkpoint[STATE] = {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "totals": dataclasses.asdict(self.totals),
        }
        if self.adaptive is not None:
            checkpoint[STATE]["clip"] = self.adaptive.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the metrics of the checkpoint.

        Raises
        ------
        ValueError, KeyError, TypeError
            If an entry is missing or has the wrong type.
        """
        state = checkpoint[STATE]
        self.history = list(history_of(state["history"]))
        self.totals = Totals.from_json(state["totals"])
        if self.adaptive is not None:
            self.adaptive.load_state_dict(state["clip"])

    def _where(self, batch_idx: int) -> str:
        """Compute a step again and return the layer and time step of the first number that is not finite."""
        # With several processes, the backward pass of one would wait for the others.
        if self._again is None or processes() > 1:
            return ""
        self.seed_step(batch_idx)
        place = locate_not_finite(self.model, self._again)
        return "" if place is None else f" ({place} of its batch)"

    def _not_finite(self, what: str, value: float, step: str) -> NotFiniteError:
        saved = "the best model so far is kept" if self.history else "no model was saved"
        return NotFiniteError(
            f"{what} is {value} in epoch {self.current_epoch + 1}{step}; {saved}; "
            "use a lower learning rate or a smaller clip"
        )


def _bound_steps(model: nn.Module, norm: float) -> None:
    layers = [module for module in model.modules() if isinstance(module, RNN | LSTM | GRU)]
    if not layers:
        raise UnsupportedError(
            f"clip_recurrent needs a recurrent layer, and {type(model).__name__} has none; leave it out or "
            "choose another model"
        )
    for layer in layers:
        layer.bound_gradients(norm=norm)
