"""Settings that follow from the size of the data: small data need small batches and many epochs."""

import math
from collections.abc import Collection
from typing import Any

from throughtime.learn.options import BatchOptions, OptimizerOptions
from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe

AUTOMATIC = {
    "epochs": "20, or as many as 400 updates of the weights take",
    "patience": "3, or a quarter of ``epochs`` if these are more than 20",
    "tokens_per_batch": "2048, or less for small data: an eighth of them, but at least 16 sequences",
}
"""Options that `automatic_settings` can choose, and what it chooses."""
_UPDATES = 400
"""Least number of updates of the weights in a training."""
_BATCHES = 8
"""Number of batches in an epoch of small data, unless they would have less than `_SEQUENCES`."""
_SEQUENCES = 16


def automatic_settings(prepared: Prepared, names: Collection[str]) -> Recipe:
    """Return the recipe with these of its settings chosen by the number of training sequences and steps.

    Parameters
    ----------
    prepared : Prepared
        Data and recipe.
    names : collection of str
        Those to choose, see `AUTOMATIC`; others keep their values.
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
