"""Options that would have no effect are refused."""

from collections.abc import Sequence

from throughtime._options import named
from throughtime.errors import ShapeError
from throughtime.learn.options import changed_options
from throughtime.learn.recipe import Recipe
from throughtime.models import is_solved

_COLUMNS = {
    **dict.fromkeys(("tokenizer", "lower_case"), ("text",)),
    **dict.fromkeys(("vocabulary", "min_count", "vectors", "freeze_vectors"), ("text", "tokens")),
    "split_tokens": ("tokens",),
    "missing": ("series", "numeric"),
    "scale": ("series",),
}
"""Kinds of columns that each option is for."""
_OTHERS = {"longer": "max_length", "freeze_vectors": "vectors"}
"""Options that need another option."""
_TRAINED = ("auto", "words", "characters", "bpe")
_OF_TRAINED = ("vocabulary", "min_count", "lower_case")
"""Options of tokenizers that are trained on the data."""
_WITHOUT_STEPS = (("epochs", 1), ("patience", None))
"""Options of the optimizer as `automatic_settings` sets them for a model without training steps."""


def require_used_options(recipe: Recipe) -> None:
    """Check that every option of inputs and optimizer that differs from its default has an effect.

    Raises
    ------
    ShapeError
        If one has none.

    Examples
    --------
    >>> require_used_options(Recipe.of("classification", text=["title"], scale="none"))
    Traceback (most recent call last):
        ...
    throughtime.errors.ShapeError: scale= (--scale) is for series, but the model reads text; leave it out
    """
    for name in changed_options(recipe.inputs):
        kinds = _COLUMNS.get(name, ())
        if kinds and not any(getattr(recipe.columns, kind) for kind in kinds):
            raise ShapeError(
                f"{named(name)} is for {_listed(kinds)}, but the model reads {_listed(_read(recipe))}; "
                "leave it out"
            )
        if name in _OF_TRAINED and recipe.columns.text and recipe.inputs.tokenizer not in _TRAINED:
            raise ShapeError(
                f"{named(name)} has no effect on the tokenizer in {recipe.inputs.tokenizer}, which is not "
                "trained on the data; leave it out"
            )
        other = _OTHERS.get(name)
        if other is not None and getattr(recipe.inputs, other) is None:
            raise ShapeError(f"{named(name)} has no effect without {named(other)}; give both, or neither")
    if recipe.optimizer.budget is not None and not recipe.is_blend:
        raise ShapeError(
            f"{named('budget')} is for model auto of classification, multilabel and regression, not for "
            f"{recipe.model} of {recipe.task}; leave it out"
        )
    if is_solved(recipe.model):
        _require_no_steps(recipe)


def _require_no_steps(recipe: Recipe) -> None:
    """Check that no option of the optimizer is set, as the weights of the model are solved for."""
    for name in changed_options(recipe.optimizer):
        if name != "seed" and (name, getattr(recipe.optimizer, name)) not in _WITHOUT_STEPS:
            raise ShapeError(
                f"{named(name)} has no effect on {recipe.model}, whose weights are solved for without "
                "training steps; leave it out"
            )


def _read(recipe: Recipe) -> Sequence[str]:
    return [name for name in ("text", "tokens", "series", "numeric") if getattr(recipe.columns, name)]


def _listed(kinds: Sequence[str]) -> str:
    return " and ".join(kinds)
