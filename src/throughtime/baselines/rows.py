"""Which rows a baseline is fitted to and chosen on, and how many of them: deterministic, without clocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data.examples import Examples
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Rows:
    """Examples that weights are fitted to, and others that settings such as a penalty are chosen on."""

    training: Examples
    validation: Examples

    def limited(self, most: float) -> "Rows":
        """Return at most so many training and validation examples, at least one of each, drawn at random."""
        return Rows(_at_most(self.training, most), _at_most(self.validation, most))


def with_validation(training: Examples, validation: Examples) -> Rows:
    """Return training and validation examples; a fifth of the training examples if there are no others."""
    if len(validation) or len(training) < 2:
        return Rows(training, validation if len(validation) else training)
    order = _order(len(training))
    held_out = max(1, len(training) // 5)
    return Rows(training.select(order[held_out:].sort().values), training.select(order[:held_out]))


def values_of_targets(examples: Examples) -> NDArray[Any]:
    """Return the targets of all sequences, or of all steps."""
    targets = examples.targets
    values: NDArray[Any] = (targets.values if isinstance(targets, Ragged) else targets).numpy()
    return values


def weights_of_targets(examples: Examples) -> NDArray[np.float64]:
    """Return the weight of each target; a step has that of its sequence, and 1 if there are none."""
    weights = weights_of_sequences(examples)
    return (
        weights[examples.inputs.sequence_ids().numpy()] if isinstance(examples.targets, Ragged) else weights
    )


def weights_of_sequences(examples: Examples) -> NDArray[np.float64]:
    """Return the weight of each sequence, 1 if there are none."""
    return np.ones(len(examples)) if examples.weights is None else examples.weights.double().numpy()


def _at_most(examples: Examples, most: float) -> Examples:
    count = max(1, int(most))
    return (
        examples if len(examples) <= count else examples.select(_order(len(examples))[:count].sort().values)
    )


def _order(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))
