"""Language modelling: the next word or character of a text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from throughtime.tasks.next_step_task import NextStepTask


@dataclass(frozen=True)
class Language(NextStepTask):
    """−log p of the next word or character.

    Parameters
    ----------
    unit : "word" or "character"
        What a step is: decides whether perplexity or bits per character are shown.
    """

    name: ClassVar[str] = "language"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "language"}

    unit: Literal["word", "character"] = "word"

    @property
    def shown(self) -> tuple[str, ...]:  # type: ignore[override]
        """Perplexity of words, or bits per character."""
        return ("perplexity",) if self.unit == "word" else ("bits_per_character",)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss, accuracy, and perplexity or bits per character."""
        return ("loss", "accuracy", *self.shown)

    def _example(self, shape: Mapping[str, int]) -> str:
        del shape
        return self.unit

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics with perplexity exp(loss), or bits per character loss / log 2."""
        loss = means["loss"]
        if self.unit == "word":
            return {**means, "perplexity": math.exp(min(loss, 700))}
        return {**means, "bits_per_character": loss / math.log(2)}
