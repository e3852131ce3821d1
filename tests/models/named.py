"""Every model by name, of every input and level that it can have, small; used by several contracts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from throughtime import Ragged
from throughtime.models import MODELS, ModelInputs, build_model, model_options

WORDS, CHANNELS, OUTPUTS = 11, 3, 4
SMALL: dict[str, Any] = {
    "embedding_size": 4,
    "hidden_size": 5,
    "channels": 6,
    "kernel_sizes": (4, 3),
    "kernel_size": 2,
    "depth": 3,
    "num_layers": 2,
    "buckets": 64,
}
OTHER: dict[str, dict[str, Any]] = {
    "charcnn": {"length": 130},
    "tcn": {"channels": (6, 5, 6)},
    "rocket": {"features": 168},
}


class Built(NamedTuple):
    """A model by name."""

    name: str
    kind: str
    level: str

    def __str__(self) -> str:
        return f"{self.name} {self.level} of {self.kind}"

    def options(self) -> dict[str, Any]:
        small = {option: SMALL[option] for option in model_options(self.name) if option in SMALL}
        return small | OTHER.get(self.name, {})

    def inputs(self, extra: int = 0) -> ModelInputs:
        size = {"vocabulary_size": WORDS} if self.kind == "tokens" else {"channels": CHANNELS}
        return ModelInputs(**size, extra=extra)

    def make(self, extra: int = 0, seed: int = 0, **options: Any) -> nn.Module:
        """The model in float64 and in evaluation, its statistics as of a training."""
        torch.manual_seed(seed)
        outputs = None if self.level == "next" else OUTPUTS
        model = build_model(
            self.name, self.inputs(extra), outputs, level=self.level, options=self.options() | options
        )
        for module in model.modules():
            if isinstance(module, nn.Embedding):  # so large that no unit behind it is dead
                module.weight.data.normal_()
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
        return model.double().eval()

    def batch(self, lengths: list[int]) -> Ragged:
        if self.kind == "tokens":
            return Ragged.from_lengths(torch.randint(WORDS, (sum(lengths),)), lengths)
        return Ragged.from_lengths(torch.randn(sum(lengths), CHANNELS, dtype=torch.float64), lengths)


def _all() -> Iterator[Built]:
    for name, model in MODELS.items():
        for level in model.levels:
            for kind in model.reads:
                yield Built(name, kind, level)


BUILT = {str(built): built for built in _all()}
WITH_OUTPUTS = {text: built for text, built in BUILT.items() if built.level != "next"}
PER_STEP = {text: built for text, built in BUILT.items() if built.level == "step"}


def rows(output: Ragged | torch.Tensor) -> list[torch.Tensor]:
    """What belongs to each sequence."""
    return list(output)
