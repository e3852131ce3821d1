"""`TrainingModule`: one step, one validation, and the figures of both, as Lightning calls them.

Writes no file. Every random number of a step comes from (seed, epoch, step), so nothing random needs saving.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from throughtime.data.batches import BatchLoader, derived_seed, ordered_batches
from throughtime.data.examples import Examples, Source
from throughtime.diagnose import AdaptiveClip, locate_not_finite
from throughtime.errors import NotFiniteError, UnsupportedError
from throughtime.nn import GRU, LSTM, RNN
from throughtime.training._metrics import EpochMetrics
from throughtime.training._settings import Settings

_STATE = "throughtime"


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

    def add(self, loss: float, logits: Tensor, batch: Examples) -> None:
        """Count a step whose mean loss per example was ``loss``."""
        self.steps += 1
        self.examples += len(batch)
        self.correct += _correct(logits, batch.labels)
        self.loss += loss * len(batch)
        self.tokens += len(batch.tokens.values)


class ValidationLoader:
    """The batches of a fixed set of examples, the same every time.

    Parameters
    ----------
    examples : Examples
        In memory.
    tokens_per_batch : int
        See `throughtime.data.batches.ordered_batches`.
    """

    def __init__(self, examples: Examples, tokens_per_batch: int) -> None:
        self.examples = examples
        self.batches = ordered_batches(examples.tokens.lengths, tokens_per_batch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Examples]:
        return (self.examples.select(batch) for batch in self.batches)


class TrainingModule(pl.LightningModule):
    """Cross-entropy and AdamW over batches of equal token count.

    Parameters
    ----------
    model : Module
        Tokens to logits (B, C).
    source : Source
        What to train and validate on.
    settings : Settings
        How.
    """

    def __init__(self, model: nn.Module, source: Source, settings: Settings) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        percentile = settings.clip_percentile
        self.adaptive = None if percentile is None else AdaptiveClip(percentile)
        if settings.clip_steps is not None:
            _bound_steps(model, settings.clip_steps)
        self.loader = BatchLoader(source, settings.tokens_per_batch, settings.seed)
        self.validation = ValidationLoader(source.validation, 4 * settings.tokens_per_batch)
        self.history: list[EpochMetrics] = []
        self.totals = Totals()
        self._validated = Totals()
        self._since = 0.0
        self._batch: Examples | None = None

    # ------------------------------------------------------------------ data

    def train_dataloader(self) -> BatchLoader:
        """Return the batches of the current epoch; Lightning asks before each."""
        self.loader.set_epoch(self.trainer.current_epoch)
        return self.loader

    def val_dataloader(self) -> ValidationLoader:
        """Return the validation batches."""
        return self.validation

    def transfer_batch_to_device(
        self, batch: Examples, device: torch.device, dataloader_idx: int
    ) -> Examples:
        """Move a batch to where the weights are."""
        del dataloader_idx
        return batch.to(device)

    # -------------------------------------------------------------- training

    def configure_optimizers(self) -> Optimizer:
        """Make AdamW; its learning rate is set anew before each step."""
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

    def on_train_batch_start(self, batch: Examples, batch_idx: int) -> None:
        """Draw this step's random state from (seed, epoch, step), and set its learning rate."""
        self._batch = batch
        self._seed(batch_idx)
        self.totals.learning_rate = self.settings.learning_rate_at(self.share_done(batch_idx + 0.5))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.totals.learning_rate

    def training_step(self, batch: Examples, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a batch."""
        logits = self.model(batch.tokens)
        loss = F.cross_entropy(logits, batch.labels)
        value = loss.item()
        if not math.isfinite(value):
            raise self._not_finite(
                "the loss", value, f", step {batch_idx + 1}{self._where(batch, batch_idx)}"
            )
        self.totals.add(value, logits.detach(), batch)
        return loss

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
            where = self._where(self._batch, step - 1)
            raise self._not_finite("the norm of the gradients", norm, f", step {step}{where}")

    def share_done(self, steps: float) -> float:
        """Return which share of the whole training is done after so many steps of the current epoch."""
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

    def validation_step(self, batch: Examples, batch_idx: int) -> None:
        """Count what is right."""
        del batch_idx
        logits = self.model(batch.tokens)
        self._validated.add(F.cross_entropy(logits, batch.labels).item(), logits, batch)

    def on_validation_epoch_end(self) -> None:
        """Note the figures of the epoch."""
        train, validation = self.totals, self._validated
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

    # ----------------------------------------------------------------- state

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the figures so far."""
        checkpoint[_STATE] = {
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "totals": dataclasses.asdict(self.totals),
        }
        if self.adaptive is not None:
            checkpoint[_STATE]["clip"] = self.adaptive.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the figures of an earlier sitting."""
        state = checkpoint[_STATE]
        self.history = [EpochMetrics.from_json(epoch) for epoch in state["history"]]
        self.totals = Totals(**state["totals"])
        if self.adaptive is not None:
            self.adaptive.load_state_dict(state["clip"])

    def _seed(self, batch_idx: int) -> None:
        torch.manual_seed(derived_seed("step", self.settings.seed, self.current_epoch, batch_idx))

    def _where(self, batch: Examples | None, batch_idx: int) -> str:
        """Run a batch once more, and say in which layer, and at which of its time steps, it went wrong."""
        if batch is None:
            return ""
        self._seed(batch_idx)
        said = locate_not_finite(
            self.model, batch.tokens, lambda logits: F.cross_entropy(logits, batch.labels)
        )
        return "" if said is None else f" ({said} of its batch)"

    def _not_finite(self, what: str, value: float, step: str) -> NotFiniteError:
        kept = "the best model so far is kept" if self.history else "no model was kept"
        return NotFiniteError(
            f"{what} is {value} in epoch {self.current_epoch + 1}{step}; {kept}; "
            "train with a lower learning rate, or a smaller clip"
        )


def _bound_steps(model: nn.Module, norm: float) -> None:
    layers = [module for module in model.modules() if isinstance(module, RNN | LSTM | GRU)]
    if not layers:
        raise UnsupportedError(
            f"clip_steps bounds gradients inside of recurrent layers, and {type(model).__name__} has none; "
            "leave it out, or choose another model"
        )
    for layer in layers:
        layer.bound_gradients(norm=norm)


def _correct(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(dim=1) == labels).sum())
