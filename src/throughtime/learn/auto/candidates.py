"""The models that ``model="auto"`` may train, best first, with what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
    settings : mapping
        Settings of the training that differ from those of a single model.
    epochs, updates : int
        Least numbers of epochs and of updates of the weights in a training.
    prior : float
        Weight in a blend that the outputs of the model have without rows to tell; networks share theirs.
    """

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_step: float = 0.0
    seconds_per_update: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 12
    updates: int = 300
    prior: float = 0.5

    @property
    def solved(self) -> bool:
        """Whether its weights are solved for, without epochs."""
        return MODELS[self.model].solved

    def seconds(self, steps: float, epochs: int, tokens_per_batch: int) -> float:
        """Return the time of a training on so many steps."""
        if self.solved:
            return steps * self.seconds_per_step
        updates = math.ceil(steps / tokens_per_batch)
        return epochs * (steps * self.seconds_per_step + updates * self.seconds_per_update)


_WHOLE = {"keep": "last", "patience": None}
"""A training of fixed length, which leaves held-out rows untouched by the choice of an epoch."""
_OF_TOKENS = (
    Candidate("textcnn", {"embedding_size": 256}, 1e-5, 5e-3, {**_WHOLE, "learning_rate": 1e-3}),
    Candidate("ngrams", {}, 2e-4),
)
_ROCKET = Candidate("rocket", {}, 4e-5, prior=1.0)
_OF_SERIES = (
    Candidate(
        "fcn",
        {"channels": [64, 64, 64]},
        6e-6,
        5e-3,
        {**_WHOLE, "learning_rate": 3e-3},
        epochs=20,
        updates=200,
        prior=0.25,
    ),
    Candidate(
        "resnet", {"channels": [64, 64, 64]}, 2e-5, 8e-3, {**_WHOLE, "learning_rate": 3e-3}, prior=0.25
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
