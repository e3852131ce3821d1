"""Settings that follow from the size of the data: small data need small batches and many epochs."""

import math
from collections.abc import Collection
from typing import Any

from throughtime.learn import Prepared, Recipe
from throughtime.learn.options import BatchOptions, OptimizerOptions

_UPDATES = 400
"""Least number of updates of the weights in a training."""
_BATCHES = 8
"""Number of batches in an epoch of small data, unless they would have less than `_SEQUENCES`."""
_SEQUENCES = 16


def automatic_settings(prepared: Prepared, names: Collection[str]) -> Recipe:
    """Return the recipe with these of its settings chosen by the number of training sequences and steps.

    Batches have at most 2,048 tokens or steps, and at most an eighth of the data as long as that are 16 sequences
    or more. There are 20 epochs, or as many as 400 updates of the weights take. Patience is 3 epochs, or a
    quarter of all epochs beyond 20.
    """
    recipe = prepared.recipe
    examples = prepared.source.training(0)
    steps = max(1, examples.inputs.layout.total)
    tokens = recipe.batches.tokens_per_batch
    if "tokens_per_batch" in names:
        small = max(math.ceil(steps / _BATCHES), math.ceil(_SEQUENCES * steps / len(examples)))
        tokens = min(BatchOptions.tokens_per_batch, small)
    epochs = recipe.optimizer.epochs
    if "epochs" in names:
        epochs = max(OptimizerOptions.epochs, math.ceil(_UPDATES / math.ceil(steps / tokens)))
    patience = 3 if epochs <= OptimizerOptions.epochs else epochs // 4
    chosen: dict[str, Any] = {"tokens_per_batch": tokens, "epochs": epochs, "patience": patience}
    return recipe.changed(**{name: chosen[name] for name in names})
