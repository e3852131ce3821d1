"""The models that ``model="auto"`` may train, best first, with what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from throughtime.learn.automatic import automatic_epochs
from throughtime.models import MODELS


@dataclass(frozen=True)
class Sizes:
    """Sizes of the data, on which alone a plan depends.

    Parameters
    ----------
    rows : int
        Sequences of training and validation.
    steps : int
        Their tokens or steps.
    outputs : int
        Outputs of a model.
    longest : int
        Steps of the longest sequence.
    channels : int or None
        Of series.
    """

    rows: int
    steps: int
    outputs: int
    longest: int
    channels: int | None = None

    @property
    def inputs(self) -> Literal["tokens", "series"]:
        """What a model reads."""
        return "tokens" if self.channels is None else "series"


@dataclass(frozen=True)
class Candidate:
    """A model with options, settings of its training, and what it costs.

    Parameters
    ----------
    model : str
        Name of the model.
    options : mapping
        Its options.
    seconds_per_step : float
        Time to train on one token or step, in seconds, on two cores of a server of 2024.
    seconds_per_update : float
        Further time of one update of the weights.
    seconds_per_output : float
        Further time for each token or step and each output.
    settings : mapping
        Settings of the training that differ from those of a single model.
    epochs : tuple of int
        Least and largest number of epochs.
    presentations : int
        Number of sequences in a training, each counted in every epoch, between these numbers of epochs.
    updates : int
        Least number of updates of the weights, which may take more epochs.
    prior : float
        Weight in a blend that the outputs of the model have without rows to tell; networks share theirs.
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_step: float = 0.0
    seconds_per_update: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[int, int] = (5, 12)
    presentations: int = 96_000
    updates: int = 300
    prior: float = 0.5
    seconds_per_output: float = 0.0

    @property
    def solved(self) -> bool:
        """Whether its weights are solved for, without epochs."""
        return MODELS[self.model].solved

    def epochs_for(self, sizes: Sizes, tokens_per_batch: int) -> int:
        """Return the number of epochs for data of these sizes."""
        least, most = self.epochs
        epochs = min(most, max(least, round(self.presentations / max(1, sizes.rows))))
        return automatic_epochs(sizes.steps, tokens_per_batch, least=epochs, updates=self.updates)

    def seconds(self, sizes: Sizes, epochs: int, tokens_per_batch: int) -> float:
        """Return the time of a training on data of these sizes."""
        once = sizes.steps * (self.seconds_per_step + self.seconds_per_output * sizes.outputs)
        if self.solved:
            return once
        return epochs * (once + math.ceil(sizes.steps / tokens_per_batch) * self.seconds_per_update)


_WHOLE = {"keep": "last", "patience": None}
"""A training of fixed length, which leaves held-out rows untouched by the choice of an epoch."""
_OF_TOKENS = (
    Candidate("textcnn", {"embedding_size": 256}, 1e-5, 5e-3, {**_WHOLE, "learning_rate": 1e-3}),
    Candidate("ngrams", {}, 5e-6, seconds_per_output=3e-7),
)
_ROCKET = Candidate("rocket", {}, 4e-5, prior=1.0)
_OF_SERIES = (
    Candidate(
        "fcn",
        {"channels": [64, 64, 64]},
        3e-6,
        3e-3,
        {**_WHOLE, "learning_rate": 3e-3},
        epochs=(8, 20),
        presentations=80_000,
        updates=200,
        prior=0.25,
    ),
    Candidate(
        "resnet",
        {"channels": [64, 64, 64]},
        1.2e-5,
        5e-3,
        {**_WHOLE, "learning_rate": 3e-3},
        presentations=48_000,
        updates=200,
        prior=0.25,
    ),
    _ROCKET,
)
_FEW_SERIES = 200
"""With fewer series, networks add nothing to `_ROCKET`: measured on the training parts of 12 UCR sets."""


def candidates(sizes: Sizes) -> Sequence[Candidate]:
    """Return the models for data of these sizes, the most useful network first."""
    if sizes.inputs == "tokens":
        return _OF_TOKENS
    return (_ROCKET,) if sizes.rows < _FEW_SERIES else _OF_SERIES
