"""Settings that follow from the size of the data: small data need small batches and many epochs."""

import math
from typing import Any

from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.models import is_solved
from throughtime.tasks import SequenceTask

_SEQUENCES = (16, 64)
"""Fewest and most sequences of a batch, on average."""
_BATCHES = 64
"""Number of batches in an epoch, unless they would have fewer or more sequences."""
_EPOCHS = 20
"""Least number of epochs."""
_UPDATES = 400
"""Least number of updates of the weights in a training."""


def automatic_settings(prepared: Prepared) -> Recipe:
    """Return the recipe with its "auto" settings chosen by the number of training sequences and steps.

    An epoch has 64 batches, or fewer so that a batch has 16 sequences on average, or more so that it has 64.
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
            chosen["tokens_per_batch"] = tokens = automatic_batch(steps, len(examples))
        if epochs == "auto":
            epochs = automatic_epochs(steps, tokens)
    chosen["epochs"] = epochs = _EPOCHS if epochs == "auto" else epochs
    if solved:
        chosen["patience"] = None
    elif recipe.optimizer.patience == "auto":
        chosen["patience"] = automatic_patience(epochs)
    return recipe.changed(**chosen)


def automatic_batch(steps: int, sequences: int) -> int:
    """Return the number of tokens or steps in a batch, from those of all sequences and their number."""
    fewest, most = _SEQUENCES
    return math.ceil(min(most, max(fewest, sequences / _BATCHES)) * steps / sequences)


def automatic_epochs(
    steps: int, tokens_per_batch: int, *, least: int = _EPOCHS, updates: int = _UPDATES
) -> int:
    """Return the number of epochs: at least so many, with at least so many updates of the weights."""
    return max(least, math.ceil(updates / math.ceil(steps / tokens_per_batch)))


def automatic_patience(epochs: int) -> int:
    """Return the number of epochs without improvement after which a training ends."""
    return 3 if epochs <= _EPOCHS else epochs // 4
