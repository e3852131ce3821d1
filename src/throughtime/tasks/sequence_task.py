"""`SequenceTask`: the part that tasks on whole sequences share: batches, steps and evaluation."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.bptt import Carried
from throughtime.data.batches import BatchLoader, OrderedLoader
from throughtime.data.columns import missing_values
from throughtime.data.examples import Examples, Source
from throughtime.data.table import Table
from throughtime.errors import DataError, UnsupportedError
from throughtime.ragged import Ragged
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.outputs import Outputs, by_row, model_outputs, output_of, require_outputs
from throughtime.tasks.task import Assessment, BatchSettings, StepValues, Task
from throughtime.tasks.views import TargetView, TaskViews

_HELD_OUT = 4
"""Held-out batches have this many times the tokens of training batches, as they need no gradients."""


@dataclass(frozen=True)
class SequenceTask(Task):
    """A task whose examples are whole sequences, in batches of equal token count."""

    needs_targets: ClassVar[bool] = True
    """Whether training needs targets; else they only serve to measure."""
    has_classes: ClassVar[bool] = False
    """Whether the target is one class, so that rows are split by class."""
    learns_from_all_rows: ClassVar[bool] = True
    """Whether `learn` takes names only, so that it may see rows outside of training."""

    @property
    def main_columns(self) -> int:
        """Number of the first columns of `predictions` that are the prediction itself."""
        return 1

    # ---------------------------------------------------------------- targets

    @classmethod
    @abstractmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task for the targets in these columns of the training rows.

        Raises
        ------
        DataError
            If the targets cannot be used for this task.
        """

    @classmethod
    def without_target(cls, table: Table, columns: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows that lack a target in one of these columns, counted from 0."""
        missing = np.zeros(len(table), dtype=bool)
        for name in columns:
            missing |= missing_values(table.column(name))
        return np.flatnonzero(missing)

    @abstractmethod
    def encode(self, table: Table, columns: Sequence[str]) -> Tensor | Ragged:
        """Return the targets of rows.

        Raises
        ------
        DataError
            If a target is missing or not one of the training; the message names the row.
        """

    # ------------------------------------------------------------------ score

    @abstractmethod
    def score(self, model: nn.Module, outputs: Outputs, targets: Any) -> dict[str, Tensor]:
        """Return "loss" and other metrics that are means over examples, (n,) each: those of `shown`.

        Parameters
        ----------
        model : Module
            The model, for tasks whose loss has parameters.
        outputs : Tensor or Ragged
            What the model put out.
        targets : Tensor or Ragged
            The targets of the same sequences.
        """

    @abstractmethod
    def measures(self, model: nn.Module, outputs: Outputs, targets: Any) -> WeightedMetrics | None:
        """Return the metrics of outputs beside those of `score`; None if the targets allow none."""

    @abstractmethod
    def predictions(self, model: nn.Module, outputs: Outputs) -> dict[str, Any]:
        """Return the columns of a table of predictions by name, the main one first: a row per sequence."""

    @property
    def probability_names(self) -> tuple[str, ...]:
        """Names of the columns of `probabilities`; none if the task has no probabilities."""
        return ()

    def probabilities(self, outputs: Outputs) -> Tensor:
        """Return the probabilities (B, C) of classes or labels, float64.

        Raises
        ------
        UnsupportedError
            If the task has none.
        """
        del outputs
        raise UnsupportedError(f"a model of task {self.name!r} has no probabilities; use predict")

    def trained_on(self, targets: Tensor) -> Tensor | None:
        """Return the numbers of the examples that training and validation use; None for all.

        Raises
        ------
        DataError
            If there are none.
        """
        del targets
        return None

    def tuned(self, model: nn.Module, outputs: Outputs, targets: Any) -> Self:
        """Return the task with what is chosen on validation after training, such as a threshold."""
        del model, outputs, targets
        return self

    # ----------------------------------------------------------------- report

    def views(self, model: nn.Module, outputs: Outputs, targets: Any) -> TaskViews:
        """Return what a report shows of outputs beside the metrics."""
        del model, outputs, targets
        return TaskViews()

    def target_view(self, targets: Any) -> TargetView:
        """Return the distribution of targets."""
        del targets
        return TargetView()

    # ------------------------------------------------------------------- task

    def training_batches(
        self, source: Source, settings: BatchSettings, *, process: int = 0, processes: int = 1
    ) -> BatchLoader:
        """Return shuffled batches of sequences of similar lengths."""
        return BatchLoader(
            source, settings.tokens_per_batch, settings.seed, process=process, processes=processes
        )

    def held_out_batches(
        self, source: Source, part: Any, settings: BatchSettings, *, process: int = 0, processes: int = 1
    ) -> OrderedLoader:
        """Return batches from short to long sequences."""
        del source
        return OrderedLoader(
            part, _HELD_OUT * settings.tokens_per_batch, process=process, processes=processes
        )

    def require_usable(self, part: Any, name: str) -> None:
        """Check that there are examples, and that their values are finite."""
        if not len(part):
            raise DataError(f"there are no {name}; give more data or a larger fraction for them")
        part.require_finite(f"the {name}")

    def step(self, model: nn.Module, batch: Examples, carried: Carried) -> StepValues:
        """Return the loss and metrics of a batch, which may be empty in one of several processes."""
        del carried
        tokens = batch.inputs.layout.total
        values = self._values(model, batch) if len(batch) else self._no_values()
        if not tokens:
            values["loss"] = values["loss"] + _zero_of_parameters(model)
        return StepValues(values, self._weights(batch, len(values["loss"])), tokens)

    def evaluate(
        self, model: nn.Module, source: Source, part: Any, settings: BatchSettings
    ) -> tuple[dict[str, float], int]:
        """Return all metrics of a model on examples."""
        del source
        return self.measure(model, *_held_out_outputs(model, part, settings))

    def assess(self, model: nn.Module, source: Source, part: Any, settings: BatchSettings) -> Assessment:
        """Return what `evaluate` does, with the 95 % interval of each metric that has one."""
        del source
        return self.measure_with_intervals(model, *_held_out_outputs(model, part, settings))

    def tune(
        self, model: nn.Module, source: Source, part: Any, settings: BatchSettings
    ) -> tuple[Self, Assessment]:
        """Return the task with what is chosen on validation, and its metrics on these examples."""
        del source
        outputs, targets = _held_out_outputs(model, part, settings)
        task = self.tuned(model, outputs, targets)
        return task, task.measure_with_intervals(model, outputs, targets)

    def measure(self, model: nn.Module, outputs: Outputs, targets: Any) -> tuple[dict[str, float], int]:
        """Return all metrics of outputs, and the number of examples that their means are taken over."""
        return self._measured(model, outputs, targets, self.measures(model, outputs, targets))

    def measure_with_intervals(self, model: nn.Module, outputs: Outputs, targets: Any) -> Assessment:
        """Return what `measure` does, with the 95 % interval of each metric that has one."""
        measures = self.measures(model, outputs, targets)
        figures, count = self._measured(model, outputs, targets, measures)
        return figures, count, {} if measures is None else measures.intervals()

    def _measured(
        self, model: nn.Module, outputs: Outputs, targets: Any, measures: WeightedMetrics | None
    ) -> tuple[dict[str, float], int]:
        with torch.no_grad():
            values = StepValues(self.score(model, outputs, targets))
        means = {name: total / len(values) for name, total in values.sums().items()}
        return means | (measures.values() if measures is not None else {}), len(values)

    def _values(self, model: nn.Module, batch: Examples) -> dict[str, Tensor]:
        outputs = output_of(model, batch)
        if self.outputs is not None:
            require_outputs(outputs, batch.inputs, self.outputs, per_step=self.level == "step")
        return self.score(model, outputs, batch.targets)

    def _no_values(self) -> dict[str, Tensor]:
        return {name: torch.zeros(0) for name in self.shown}

    def _weights(self, batch: Examples, count: int) -> Tensor | None:
        """Return the weight of each example of a batch."""
        if batch.weights is None or len(batch.weights) == count:
            return batch.weights
        return batch.weights.repeat_interleave(batch.inputs.lengths.to(batch.weights.device))


def _held_out_outputs(model: nn.Module, part: Any, settings: BatchSettings) -> tuple[Outputs, Any]:
    """Return the outputs of a model on held-out examples, and their targets, by row."""
    outputs = model_outputs(model, part, tokens_per_batch=_HELD_OUT * settings.tokens_per_batch)
    return by_row(outputs, part)


def _zero_of_parameters(model: nn.Module) -> Tensor:
    """Return 0 with a gradient of zeros for every parameter, as each process needs one to share gradients."""
    return torch.stack([parameter.flatten()[:0].sum() for parameter in model.parameters()]).sum()
