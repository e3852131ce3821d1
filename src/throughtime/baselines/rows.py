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
    kept, chosen = order[held_out:].sort().values, order[:held_out].sort().values
    return Rows(training.select(kept), training.select(chosen))


def values_of_targets(examples: Examples) -> NDArray[Any]:
    """Return the targets of all sequences, or of all steps."""
    targets = examples.targets
    values: NDArray[Any] = (targets.values if isinstance(targets, Ragged) else targets).numpy()
    return values


def weights_of_targets(examples: Examples) -> NDArray[np.float64]:
    """Return the weight of each target; a step has that of its sequence, and 1 if there are none."""
    weights = weights_of_sequences(examples)
    if isinstance(examples.targets, Ragged):
        return np.repeat(weights, examples.inputs.lengths.numpy())
    return weights


def weights_of_sequences(examples: Examples) -> NDArray[np.float64]:
    """Return the weight of each sequence, 1 if there are none."""
    if examples.weights is None:
        return np.ones(len(examples))
    weights: NDArray[np.float64] = examples.weights.double().numpy()
    return weights


def _at_most(examples: Examples, most: float) -> Examples:
    count = max(1, int(most))
    if len(examples) <= count:
        return examples
    return examples.select(_order(len(examples))[:count].sort().values)


def _order(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))
