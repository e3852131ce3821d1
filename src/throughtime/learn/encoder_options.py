"""The encoder that a recipe names, fitted to training rows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from throughtime._options import named
from throughtime.data.inputs import (
    BytePairOptions,
    CharacterOptions,
    InputOptions,
    LengthLimit,
    NumericColumns,
    NumericOptions,
    SeriesOptions,
    TokenizerOptions,
    TokenOptions,
    WordOptions,
)
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.learn.encoder import Encoder
from throughtime.learn.recipe import Recipe

TRAINED: Mapping[str, Callable[..., InputOptions]] = {
    "auto": WordOptions,
    "words": WordOptions,
    "characters": CharacterOptions,
    "bpe": BytePairOptions,
}
"""Tokenizers that are trained on the data; "auto" is one of them, see `tokenizer_choice`."""


def input_options(recipe: Recipe) -> InputOptions:
    """Return the options of the inputs that a recipe names."""
    columns, inputs = recipe.columns, recipe.inputs
    blank: Literal["skip", "refuse"] = "skip" if recipe.files.skip_blank else "refuse"
    missing = None if inputs.missing == "refuse" else inputs.missing
    if columns.series:
        return SeriesOptions(columns=tuple(columns.series), missing=missing, scale=inputs.scale, blank=blank)
    sizes: dict[str, Any] = {"min_count": inputs.min_count, "blank": blank}
    if inputs.vocabulary is not None:
        sizes["vocabulary"] = inputs.vocabulary
    if columns.tokens:
        if len(columns.tokens) > 1:
            raise DataError(
                f"{named('tokens')} takes one column of lists, got {', '.join(columns.tokens)}; give one"
            )
        return TokenOptions(column=columns.tokens[0], split=inputs.split_tokens, **sizes)
    text: dict[str, Any] = {"columns": tuple(columns.text), "blank": blank}
    if inputs.tokenizer not in TRAINED:
        if not Path(inputs.tokenizer).exists():
            raise DataError(
                f"tokenizer must be one of {', '.join(TRAINED)}, or a file, got {inputs.tokenizer!r}, which "
                "does not exist; correct it"
            )
        return TokenizerOptions(**text, file=inputs.tokenizer)
    if inputs.lower_case is not None:
        sizes["lower_case"] = inputs.lower_case
    return TRAINED[inputs.tokenizer](**text | sizes)


def fitted_encoder(recipe: Recipe, training: Table) -> Encoder:
    """Return an encoder that has learned vocabulary and scales from training rows."""
    numeric: NumericColumns | None = None
    if recipe.columns.numeric:
        missing = recipe.inputs.missing
        numeric = NumericOptions(
            columns=tuple(recipe.columns.numeric),
            missing=missing if missing in {"zero", "mean", "mask"} else None,
        ).fit(training)
    limit = None
    if recipe.inputs.max_length is not None:
        limit = LengthLimit(length=recipe.inputs.max_length, longer=recipe.inputs.longer)
    return Encoder(input_options(recipe).fit(training), numeric, limit)
