"""`NextStepModule`: one window of a training of a model of the next step, and its validation."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from throughtime.bptt import Carried
from throughtime.data.batches import derived_seed
from throughtime.data.next_step import NextStepSource, Pairs
from throughtime.data.window_batches import WindowBatch, WindowLoader
from throughtime.errors import ShapeError
from throughtime.models.next_step import NextStep
from throughtime.training._base_module import BaseModule, Totals
from throughtime.training._next_step_figures import figure, run_window
from throughtime.training._settings import Settings
from throughtime.training._state import STATE
from throughtime.training.processes import gathered, process, processes, summed


class NextStepModule(BaseModule):
    """Truncated backpropagation through time: a window is a step, and states go on from window to window.

    Several processes share the sequences out; the loss is that of one process which has them all.

    Parameters
    ----------
    model : LanguageModel or FrameModel
        What is trained.
    source : NextStepSource
        On what.
    settings : Settings
        How; with ``k1`` and ``streams``.
    """

    model: NextStep

    def __init__(self, model: NextStep, source: NextStepSource, settings: Settings) -> None:
        super().__init__(model, settings)
        k1, streams = required(settings)
        self.unit = source.unit
        training = source.pairs(source.training, streams, k1)
        self.loader = self._windows(training, streams, k1, settings.k2, settings.seed)
        self.validation = self._windows(source.held_out(source.validation, streams, k1), streams, k1)
        self.carried = Carried()
        self._carried_in_validation = Carried()
        self._streams: set[int] = set()

    def _windows(
        self, pairs: Pairs, streams: int, k1: int, k2: int | None = None, seed: int | None = None
    ) -> WindowLoader:
        return WindowLoader(pairs, streams, k1, k2, seed=seed, process=process(), processes=processes())

    def on_train_epoch_start(self) -> None:
        """Begin an epoch: all streams begin anew."""
        super().on_train_epoch_start()
        self.carried.reset()

    def seed_step(self, batch_idx: int) -> None:
        """Draw the random state of a step, another one in each process."""
        super().seed_step(batch_idx)
        if process():
            place = ("step", self.settings.seed, self.current_epoch, batch_idx, process())
            torch.manual_seed(derived_seed(*place))

    def training_step(self, batch: WindowBatch, batch_idx: int) -> Tensor:
        """Return the mean loss of the window's steps that count."""
        before = copy.copy(self.carried)
        losses, right = run_window(self.model, batch, self.carried)
        self._streams = set(batch.window.ids.tolist())
        # Lightning takes the mean of the processes' gradients.
        loss = losses.sum() * (processes() / batch.counted)
        total, correct = summed(float(losses.detach().double().sum()), float(right.sum()))
        again = partial(self._loss, batch, before)
        self.count(total, int(correct), batch.counted, batch.counted, batch_idx, again)
        return loss

    def _loss(self, batch: WindowBatch, before: Carried) -> Tensor:
        return run_window(self.model, batch, copy.copy(before))[0].sum() / batch.counted

    def on_validation_epoch_start(self) -> None:
        """Begin a validation."""
        super().on_validation_epoch_start()
        self.validation.set_epoch(0)
        self._carried_in_validation.reset()

    def validation_step(self, batch: WindowBatch, batch_idx: int) -> None:
        """Add up losses."""
        del batch_idx
        losses, right = run_window(self.model, batch, self._carried_in_validation)
        self._validated.add(float(losses.double().sum()), int(right.sum()), len(losses), len(losses))

    def validated(self) -> Totals:
        """Return the sums of this validation, those of all processes."""
        own = self._validated
        loss, correct, steps = summed(own.loss, own.correct, own.examples)
        return Totals(own.steps, int(steps), int(correct), loss, int(steps))

    def describe(self, loss: float, accuracy: float) -> str:
        """Return figures in words."""
        del accuracy
        return figure(loss, self.unit)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add where the streams of all processes are."""
        super().on_save_checkpoint(checkpoint)
        # What ended, and what other processes had when a state was loaded, is not this one's to save.
        self.carried.reset(set(self.carried.ids) - self._streams)
        checkpoint[STATE]["carried"] = merged_states(gathered(self.carried.state_dict()))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the streams were."""
        super().on_load_checkpoint(checkpoint)
        self.carried.load_state_dict(checkpoint[STATE]["carried"])


def required(settings: Settings) -> tuple[int, int]:
    """Return k1 and the number of streams.

    Raises
    ------
    ShapeError
        If one is None.
    """
    if settings.k1 is None or settings.streams is None:
        raise ShapeError(
            f"language and frame models need settings with k1 and streams, got k1 = {settings.k1} and "
            f"streams = {settings.streams}"
        )
    return settings.k1, settings.streams


def merged_states(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return states of `Carried` of different streams as one."""
    held = [state for state in states if len(state["ids"])]
    if len(held) < 2:
        return (held or list(states))[0]
    layers = {
        name: [torch.cat(parts, 1) for parts in zip(*(state["states"][name] for state in held), strict=True)]
        for name in held[0]["states"]
    }
    return {**held[0], "ids": torch.cat([state["ids"] for state in held]), "states": layers}
