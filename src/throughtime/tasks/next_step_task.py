"""`NextStepTask`: the part that language models and models of frames share: windows, steps, evaluation."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from throughtime.bptt import Carried
from throughtime.data.finite import require_finite
from throughtime.data.next_step import NextStepSource
from throughtime.data.window_batches import WindowBatch, WindowLoader
from throughtime.errors import DataError, ShapeError
from throughtime.models.next_step import NextStep
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged
from throughtime.tasks.task import BatchSettings, Level, StepValues, Task, mean_values

_WINDOW = 256


@dataclass(frozen=True)
class NextStepTask(Task):
    """Truncated backpropagation through time: a window is a step, and states go on from window to window."""

    level: ClassVar[Level] = "next"

    @property
    def outputs(self) -> None:
        """None: the input decides."""
        return None

    def training_batches(
        self, source: Any, settings: BatchSettings, *, process: int = 0, processes: int = 1
    ) -> WindowLoader:
        """Return the windows of a text, or of sequences of frames."""
        k1, streams = _required(settings)
        text_or_frames = _source(source).training(0)
        self.require_usable(text_or_frames, "training examples")
        pairs = source.pairs(text_or_frames, streams, k1)
        return WindowLoader(
            pairs,
            streams,
            k1,
            settings.k2,
            seed=settings.seed,
            process=process,
            processes=processes,
        )

    def held_out_batches(
        self, source: Any, part: Any, settings: BatchSettings, *, process: int = 0, processes: int = 1
    ) -> WindowLoader:
        """Return the windows of a validation or test part."""
        k1, streams = _required(settings)
        pairs = _source(source).held_out(part, streams, k1)
        return WindowLoader(pairs, streams, k1, process=process, processes=processes)

    def require_usable(self, part: Ragged, name: str) -> None:
        """Check that all values are finite."""
        if not part.layout.total:
            raise DataError(f"there are no {name}; give more data or a larger fraction for them")
        require_finite(part, f"the {name}")

    def step(self, model: nn.Module, batch: WindowBatch, carried: Carried) -> StepValues:
        """Return the loss of the steps of a window, and whether each was predicted exactly."""
        losses, right = _run_window(cast("NextStep", model), batch, carried)
        return StepValues({"loss": losses, "accuracy": right}, tokens=len(losses))

    def evaluate(
        self, model: nn.Module, source: Any, part: Any, settings: BatchSettings
    ) -> tuple[dict[str, float], int]:
        """Return all metrics on every step of a text or of frames except the first."""
        return self.measure(model, source, part, streams=settings.streams or 1)

    def measure(
        self, model: nn.Module, source: Any, part: Ragged, *, streams: int = 1, window: int = _WINDOW
    ) -> tuple[dict[str, float], int]:
        """Return all metrics on every step of a text or of frames except the first.

        Parameters
        ----------
        model : LanguageModel or FrameModel
            The model; the mode of its modules is not changed.
        source : NextStepSource
            The data source.
        part : Ragged
            A part of it, such as ``source.test``.
        streams : int
            Number of parts of a text, or of sequences of frames, processed in parallel. With 1 a text is
            read from beginning to end; more are faster, but each part starts from the initial state.
        window : int
            Number of steps computed at once; does not affect the result.

        Returns
        -------
        dict, int
            The metrics, and the number of steps.

        Raises
        ------
        ShapeError
            If there is no step to predict.
        DataError
            If a value of a frame is infinite or not a number.
        """
        require_finite(part, "the sequences to evaluate on")
        pairs = _source(source).held_out(part, streams, 1)
        if not pairs.steps:
            raise ShapeError("there is no step to predict; give a sequence of at least two steps")
        carried, device = Carried(), next(p.device for p in model.parameters())
        with evaluating(model), torch.no_grad():
            loader = WindowLoader(pairs, streams, window)
            means, steps = mean_values(self.step(model, batch.to(device), carried) for batch in loader)
        return self.derived(means), steps

    @abstractmethod
    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics that follow from the mean loss."""


def _source(source: Any) -> NextStepSource:
    if not isinstance(source, NextStepSource):
        raise ShapeError(f"language and frame models need a NextStepSource, got a {type(source).__name__}")
    return source


def _run_window(model: NextStep, batch: WindowBatch, carried: Carried) -> tuple[Tensor, Tensor]:
    """Return the losses of the window's steps that count, in nats, and which were predicted exactly."""
    if batch.first:
        carried.reset()
    with carried.carry(model, batch.window):
        h = model.states(batch.inputs)
    scored = model.score(batch.window.counted(h).values, batch.targets.values)
    return scored.losses, scored.right


def _required(settings: BatchSettings) -> tuple[int, int]:
    """Return k1 and the number of streams."""
    if settings.k1 is None or settings.streams is None:
        raise ShapeError(
            f"language and frame models need settings with k1 and streams, got k1 = {settings.k1} and "
            f"streams = {settings.streams}"
        )
    return settings.k1, settings.streams
