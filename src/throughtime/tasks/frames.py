"""Models of frames: the next frame of binary features, such as the notes of a piano roll."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from throughtime.tasks.next_step_task import NextStepTask


@dataclass(frozen=True)
class Frames(NextStepTask):
    """−log p of the next frame, the sum over its binary features."""

    name: ClassVar[str] = "frames"
    default_models: ClassVar[Mapping[str, str]] = {"series": "frame"}
    shown: ClassVar[tuple[str, ...]] = ("nll_per_frame",)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss, its name in the literature, and the fraction of frames predicted exactly."""
        return ("loss", "accuracy", "nll_per_frame")

    def _example(self, shape: Mapping[str, int]) -> str:
        del shape
        return "frame"

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics with the negative log-likelihood per frame, which is the loss."""
        return {**means, "nll_per_frame": means["loss"]}
