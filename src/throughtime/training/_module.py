"""`TrainingModule`: the Lightning module of all tasks, with optimizer, clipping and metrics. Writes no files.

All random numbers of a step are derived from (seed, epoch, step), so no random state is saved.
"""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from throughtime._fields import Fields, to_json
from throughtime.bptt import Carried
from throughtime.data.batches import derived_seed
from throughtime.data.examples import Source
from throughtime.data.window_batches import WindowBatch
from throughtime.diagnose import AdaptiveClip, locate_not_finite
from throughtime.errors import NotFiniteError, UnsupportedError
from throughtime.nn.recurrent.bounding import bound_recurrent_gradients
from throughtime.tasks import Loader, StepValues, Task
from throughtime.training._metrics import EpochMetrics, history_of
from throughtime.training._settings import Settings
from throughtime.training._state import STATE
from throughtime.training.processes import gathered, process, processes, summed


@dataclass
class Totals:
    """Sums over the steps of an epoch so far."""

    steps: int = 0
    examples: float = 0
    """Number of examples; of weighted ones the sum of their weights."""
    values: dict[str, float] = field(default_factory=dict)
    """Sum of the loss and of each other value over the examples."""
    tokens: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0

    @classmethod
    def from_json(cls, content: Any) -> "Totals":
        """Build the sums from JSON values; raises ValueError if one is missing or of the wrong type."""
        return Fields(content, "totals.").dataclass(_TotalsFields).totals()

    def add(self, values: Mapping[str, float], examples: float, tokens: int) -> None:
        """Count a step, given the sums over its examples."""
        self.steps += 1
        self.examples += examples
        self.tokens += tokens
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value

    @property
    def means(self) -> dict[str, float]:
        """The mean of each value over the examples."""
        return {name: value / (self.examples or 1) for name, value in self.values.items()}


@dataclass(frozen=True)
class _TotalsFields:
    """The entries of `Totals` in a saved state."""

    steps: int
    examples: int
    values: Mapping[str, float]
    tokens: int
    seconds: float
    learning_rate: float

    def totals(self) -> Totals:
        return Totals(
            self.steps, self.examples, dict(self.values), self.tokens, self.seconds, self.learning_rate
        )


class TrainingModule(pl.LightningModule):
    """Steps, optimizer, clipping and metrics of a training.

    With several processes, each has a part of every batch; the loss is that of one process with all of them.

    Parameters
    ----------
    model : Module
        The model to train.
    task : Task
        What it is trained for.
    source : Source
        What to train and validate on.
    settings : Settings
        Training settings.
    """

    def __init__(self, model: nn.Module, task: Task, source: Source, settings: Settings) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.settings = settings
        self.source = source
        percentile = settings.clip_percentile
        self.adaptive = None if percentile is None else AdaptiveClip(percentile)
        if settings.clip_recurrent is not None:
            _bound_steps(model, settings.clip_recurrent)
        share = {"process": process(), "processes": processes()}
        self.loader: Loader = task.training_batches(source, settings, **share)
        self.validation: Loader = task.held_out_batches(source, source.validation, settings, **share)
        self.history: list[EpochMetrics] = []
        self.totals = Totals()
        self.carried = Carried()
        self._carried_in_validation = Carried()
        self._streams: set[int] = set()
        self._validated = Totals()
        self._since = 0.0
        self._again: Callable[[], Tensor] | None = None

    # ------------------------------------------------------------------ data

    def train_dataloader(self) -> Loader:
        """Return the batches of the current epoch; Lightning asks before each."""
        self.loader.set_epoch(self.trainer.current_epoch)
        return self.loader

    def val_dataloader(self) -> Loader:
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
        self.carried.reset()
        self.restart_clock()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the mean loss of a batch."""
        before = copy.copy(self.carried)
        values = self.task.step(self.model, batch, self.carried)
        if isinstance(batch, WindowBatch):
            self._streams = set(batch.window.ids.tolist())
        weight = self._count(values, batch_idx, partial(self._loss, batch, before))
        # Lightning takes the mean of the gradients of all processes.
        return values.loss * (processes() / weight)

    def _loss(self, batch: Any, before: Carried) -> Tensor:
        values = self.task.step(self.model, batch, copy.copy(before))
        return values.loss / max(values.weight, 1e-30)

    def _count(self, values: StepValues, batch_idx: int, again: Callable[[], Tensor]) -> float:
        """Count a training step, unless its loss is not finite; return its weight over all processes.

        ``again`` computes the loss anew, to find out where it, or a gradient of it, went wrong.
        """
        self._again = again
        sums = values.sums()
        names, parts = list(sums), [*sums.values(), len(values), values.tokens, values.weight]
        *all_sums, examples, tokens, weight = summed(*parts)
        loss = all_sums[names.index("loss")]
        if not math.isfinite(loss):
            raise self._not_finite("the loss", loss, f", step {batch_idx + 1}{self._where(batch_idx)}")
        self.totals.add(dict(zip(names, all_sums, strict=True)), int(examples), int(tokens))
        return max(weight, 1e-30)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step from (seed, epoch, step), and set its learning rate."""
        del batch
        self.seed_step(batch_idx)
        self.totals.learning_rate = self.settings.learning_rate_at(self.share_done(batch_idx + 0.5))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.totals.learning_rate

    def seed_step(self, batch_idx: int) -> None:
        """Set the random seed of a step of the current epoch, another one in each process."""
        place: tuple[Any, ...] = ("step", self.settings.seed, self.current_epoch, batch_idx)
        _set_seed(derived_seed(*place, process()) if process() else derived_seed(*place))

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
        self.validation.set_epoch(0)
        self._carried_in_validation.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Add up losses and other values."""
        del batch_idx
        values = self.task.step(self.model, batch, self._carried_in_validation)
        self._validated.add(values.weighted_sums(), values.weight, values.tokens)

    def on_validation_epoch_end(self) -> None:
        """Append the metrics of the epoch."""
        validation = self._validation_metrics()
        if not math.isfinite(validation["loss"]):
            raise self._not_finite("the validation loss", validation["loss"], "")
        train = self.totals
        self.log_dict(
            {f"train_{name}": value for name, value in self.task.derived(train.means).items()}
            | {f"validation_{name}": value for name, value in validation.items()}
        )
        self.history.append(
            EpochMetrics(
                epoch=self.current_epoch + 1,
                steps=train.steps,
                train=self.task.derived(train.means),
                validation=validation,
                learning_rate=train.learning_rate,
                tokens=train.tokens,
                seconds=train.seconds,
            )
        )

    def _validation_metrics(self) -> dict[str, float]:
        """Return the metrics over all processes; those of all outputs too if one of them is monitored."""
        own = self._validated
        *sums, examples = summed(*own.values.values(), own.examples)
        means = {name: value / (examples or 1.0) for name, value in zip(own.values, sums, strict=True)}
        metrics = self.task.derived(means)
        if self.settings.monitored(self.task) not in metrics:
            every, _ = self.task.evaluate(self.model, self.source, self.source.validation, self.settings)
            metrics = every | metrics
        return metrics

    # ----------------------------------------------------------------- state

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the metrics so far, and the states of the streams of all processes."""
        checkpoint[STATE] = {
            "history": [to_json(epoch) for epoch in self.history],
            "totals": dataclasses.asdict(self.totals),
        }
        # What ended, and what other processes had when a state was loaded, is not this one's to save.
        self.carried.reset(set(self.carried.ids) - self._streams)
        checkpoint[STATE]["carried"] = merged_states(gathered(self.carried.state_dict()))
        if self.adaptive is not None:
            checkpoint[STATE]["clip"] = self.adaptive.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore metrics and states of the checkpoint.

        Raises
        ------
        ValueError, KeyError, TypeError
            If an entry is missing or has the wrong type.
        """
        state = checkpoint[STATE]
        self.history = list(history_of(state["history"]))
        self.totals = Totals.from_json(state["totals"])
        self.carried.load_state_dict(state["carried"])
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


def _set_seed(seed: int) -> None:
    """Seed the generators; `torch.manual_seed` formats a traceback each time if CUDA is not initialised."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)


def _bound_steps(model: nn.Module, norm: float) -> None:
    try:
        bound_recurrent_gradients(model, norm=norm)
    except UnsupportedError as error:
        raise UnsupportedError(f"clip_recurrent: {error}") from error


def merged_states(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return states of `Carried` of different streams as one."""
    names = dict.fromkeys(name for state in states for name in state["layers"])
    return {
        **states[0],
        "layers": {
            name: _merged_layer([state["layers"][name] for state in states if name in state["layers"]])
            for name in names
        },
    }


def _merged_layer(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    parts = zip(*(layer["state"] for layer in layers), strict=True)
    return {
        "ids": torch.cat([layer["ids"] for layer in layers]),
        "state": [torch.cat(part) for part in parts],
    }
