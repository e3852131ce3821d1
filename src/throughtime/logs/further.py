"""Further training of a model of logs, whose vocabulary is extended by new templates."""

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from throughtime.data.inputs.tokens import TokenInputs
from throughtime.data.table import Table
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import ShapeError
from throughtime.learn import Recipe
from throughtime.learn.prepared import Prepared, prepare_table
from throughtime.logs.model import COLUMN, LogModel

if TYPE_CHECKING:
    from throughtime.tasks import Anomaly


def further_prepared(start: LogModel, recipe: Recipe, table: Table) -> Prepared:
    """Return sessions for a model that is initialised with the weights of another one.

    Parameters
    ----------
    start : LogModel
        The other model.
    recipe : Recipe
        With the same model options.
    table : Table
        The sessions. Templates that are not in the vocabulary of ``start`` are added to it if they occur at
        least ``min_count`` times.
    """
    inputs = cast("TokenInputs", start.predictor.encoder.inputs)
    known = set(inputs.vocabulary.words)
    counts = Counter(map(str, table.column(COLUMN).combine_chunks().flatten().to_pylist()))
    added = [w for w, n in counts.most_common() if w not in known and n >= recipe.inputs.min_count]
    vocabulary = Vocabulary([*inputs.vocabulary.words[1:], *added])
    encoder = replace(start.predictor.encoder, inputs=TokenInputs(inputs.options, vocabulary))
    prepared = prepare_table(recipe, table, encoder=encoder, task=cast("Anomaly", start.predictor.task))
    return replace(prepared, prepare_model=partial(_set_weights, start.predictor.model, len(added)))


def _set_weights(trained: nn.Module, added: int, model: nn.Module) -> None:
    """Copy the weights of a trained model to a new one; new tokens keep their initial weights.

    Rows are tokens; the last row is the end of a sequence.
    """
    weights = model.state_dict()
    for name, old in trained.state_dict().items():
        new = weights[name]
        if new.shape == old.shape:
            new.copy_(old)
            continue
        if new.shape != (len(old) + added, *old.shape[1:]):
            raise ShapeError(
                f"{name} has shape {tuple(new.shape)}, but {tuple(old.shape)} in the model to start from; "
                "give the same model options"
            )
        with torch.no_grad():
            new[: len(old) - 1] = old[:-1]
            new[len(old) - 1 + added] = old[-1]
