"""`Objective`: the loss whose gradients ``throughtime diagnose`` follows back through time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Objective:
    """A model and its losses on a batch of sequences.

    Influence is measured on the logit of ``target``, or without classes on the negative loss.
    """

    model: nn.Module
    losses: Callable[[Any], Tensor]
    """Maps the output to one loss per sequence."""
    target: Tensor | None = None
    features_of: nn.Module | None = None
    """The module whose output is taken as the features of tokens."""
