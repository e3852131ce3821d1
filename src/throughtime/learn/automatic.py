"""Settings that follow from the size of the data: small data need small batches and many epochs."""

import math
from typing import Any

from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.models import is_solved
from throughtime.tasks import SequenceTask

_TOKENS = 2048
"""Most tokens or steps of a batch."""
_EPOCHS = 20
"""Least number of epochs."""
_UPDATES = 400
"""Least number of updates of the weights in a training."""
_BATCHES = 8
"""Number of batches in an epoch of small data, unless they would have less than `_SEQUENCES`."""
_SEQUENCES = 16


def automatic_settings(prepared: Prepared) -> Recipe:
    """Return the recipe with its "auto" settings chosen by the number of training sequences and steps.

    Batches have at most 2,048 tokens or steps, and of small data an eighth, but no fewer than 16 sequences.
    There are 20 epochs, or as many as 400 updates of the weights take. Patience is 3 epochs, or a quarter of
    all epochs if there are more than 20. Language and frame models have 20 epochs. A model whose weights are
    solved for has one.
    """
    recipe, examples = prepared.recipe, prepared.source.training(0)
    chosen: dict[str, Any] = {}
    solved = is_solved(recipe.model)
    epochs = 1 if solved else recipe.optimizer.epochs
    if isinstance(prepared.task, SequenceTask):
        steps = max(1, int(examples.lengths.sum()))
        tokens = recipe.batches.tokens_per_batch
        if tokens == "auto":
            chosen["tokens_per_batch"] = tokens = _batch(steps, len(examples))
        if epochs == "auto":
            epochs = max(_EPOCHS, math.ceil(_UPDATES / math.ceil(steps / tokens)))
    chosen["epochs"] = epochs = _EPOCHS if epochs == "auto" else epochs
    if solved:
        chosen["patience"] = None
    elif recipe.optimizer.patience == "auto":
        chosen["patience"] = 3 if epochs <= _EPOCHS else epochs // 4
    return recipe.changed(**chosen)


def _batch(steps: int, sequences: int) -> int:
    """Return the number of tokens in a batch."""
    return min(_TOKENS, max(math.ceil(steps / _BATCHES), math.ceil(_SEQUENCES * steps / sequences)))
