"""The tokenizer that suits texts: words, or byte pairs, whichever a linear model predicts better from."""

from dataclasses import replace

import numpy as np

from throughtime.baselines import solve
from throughtime.data.table import Table
from throughtime.learn.encoder_options import fitted_encoder
from throughtime.learn.recipe import Recipe
from throughtime.tasks import METRICS, SequenceTask, model_outputs
from throughtime.training import ModelSpec

_CHOICES = ("words", "bpe")
_ROWS = 16_000
_CHARACTERS = 3_000_000
"""At most so many rows, with about so many characters, are looked at."""
_FEWEST = 100
"""Words are taken if there are fewer rows."""
_HELD_OUT = 3
"""One of so many rows is held out."""
_INVERSE_PENALTY = 16.0
_TIE = 0.01
"""Words are taken if the losses differ by less than this share."""


def with_tokenizer(recipe: Recipe, task: SequenceTask, training: Table) -> tuple[Recipe, list[str]]:
    """Return the recipe with a tokenizer in place of "auto", and a note on the choice.

    Where several models are blended, a linear model of n-grams is fitted to two thirds of at most 16,000
    training rows, once with words and once with byte pairs of lower case as tokens; the tokenizer with the
    smaller loss on the other rows is taken. Byte pairs suit texts whose rare words are made of known parts,
    such as identifiers of code, and words those whose rare words are names. Otherwise the tokens are words.

    Parameters
    ----------
    recipe : Recipe
        What is asked for.
    task : SequenceTask
        With what was learned of the targets.
    training : Table
        The training rows.
    """
    if recipe.inputs.tokenizer != "auto" or not recipe.columns.text:
        return recipe, []
    if not recipe.is_blend or recipe.inputs.vectors or len(training) < _FEWEST:
        return _with(recipe, "words"), []
    rows = _looked_at(training, recipe)
    held_out = np.arange(len(rows)) % _HELD_OUT == 0
    parts = rows.select(np.flatnonzero(~held_out)), rows.select(np.flatnonzero(held_out))
    losses = {name: _loss(_with(recipe, name), task, *parts) for name in _CHOICES}
    words, pairs = losses["words"], losses["bpe"]
    best = "bpe" if pairs < (1 - _TIE) * words else "words"
    text = METRICS["loss"].text
    note = (
        f"tokens are {'byte pairs' if best == 'bpe' else 'words'} (held-out loss of a linear model: words "
        f"{text(words)}, byte pairs {text(pairs)})"
    )
    return _with(recipe, best), [note]


def _with(recipe: Recipe, tokenizer: str) -> Recipe:
    """Return the recipe with a tokenizer; its byte pairs are of texts in lower case, as words are."""
    lower = True if recipe.inputs.lower_case is None and tokenizer == "bpe" else recipe.inputs.lower_case
    return replace(recipe, inputs=replace(recipe.inputs, tokenizer=tokenizer, lower_case=lower))


def _looked_at(training: Table, recipe: Recipe) -> Table:
    """Return a random subset of the rows, in memory."""
    order = np.random.default_rng(0).permutation(len(training))[:_ROWS]
    rows = training.select(np.sort(order)).loaded()
    texts = [rows.column(name).to_pylist() for name in recipe.columns.text]
    characters = sum(len(str(text)) for column in texts for text in column)
    kept = max(_FEWEST, int(len(rows) * _CHARACTERS / max(1, characters)))
    return rows.select(np.sort(np.random.default_rng(1).permutation(len(rows))[:kept]))


def _loss(recipe: Recipe, task: SequenceTask, training: Table, held_out: Table) -> float:
    """Return the loss on held-out rows of a linear model fitted to others."""
    encoder = fitted_encoder(recipe, training)
    parts = [encoder.examples(part, task, recipe.columns.target) for part in (training, held_out)]
    model = ModelSpec("ngrams").build(encoder.shape, task)
    solve(model, task, parts[0], parts[1], _INVERSE_PENALTY)  # type: ignore[arg-type]
    figures, _ = task.measure(model, model_outputs(model, parts[1]), parts[1].targets)
    return figures["loss"]
