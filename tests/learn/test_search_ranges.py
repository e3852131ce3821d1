"""What a hyper-parameter search tries: within the range of each option, with the default, and buildable."""

from collections.abc import Iterator

import pytest
import torch

from throughtime._options import Choices, DeclaredOption, Range
from throughtime.learn.recipe import Recipe, group_options, groups_of
from throughtime.models import MODELS, ModelInputs, build_model, model_options
from throughtime.tasks import TASKS


def _of_groups() -> Iterator[DeclaredOption]:
    for group in {group: None for task in TASKS for group in groups_of(task)}:
        yield from (option for option in group_options(group).values() if option.search is not None)


OF_MODELS = {
    f"{model} {name}": (model, option)
    for model in MODELS
    for name, option in model_options(model).items()
    if option.search is not None
}
OF_GROUPS = {option.name: option for option in _of_groups()}


def values(option: DeclaredOption) -> list[object]:
    """All choices, or both ends of the range."""
    if isinstance(option.search, Choices):
        return [option.parse(text) for text in option.search.texts]
    assert isinstance(option.search, Range)
    number = float if option.kind in (float, float | None) else int
    assert number(option.search.low) == option.search.low < option.search.high == number(option.search.high)
    assert not option.search.log or option.search.low > 0
    ends = [number(option.search.low), number(option.search.high)]
    if number is float:
        assert [float(f"{end:.3g}") for end in ends] == ends
    return ends


@pytest.mark.parametrize("name", OF_MODELS)
def test_a_model_is_built_at_both_ends_of_each_range(name: str) -> None:
    model, option = OF_MODELS[name]
    for value in values(option):
        option.check(value, model)
        for level in MODELS[model].levels:
            for kind in MODELS[model].reads:
                inputs = ModelInputs(**({"vocabulary_size": 11} if kind == "tokens" else {"channels": 3}))
                outputs = None if level == "next" else 2
                with torch.device("meta"):
                    build_model(model, inputs, outputs, level=level, options={option.name: value})


@pytest.mark.parametrize("name", OF_GROUPS)
def test_settings_are_made_at_both_ends_of_each_range(name: str) -> None:
    for value in values(OF_GROUPS[name]):
        recipe = Recipe.of("classification", epochs=1, patience=1, tokens_per_batch=64, **{name: value})
        assert getattr(recipe.settings(), name) == value


@pytest.mark.parametrize("name", [*OF_MODELS, *OF_GROUPS])
def test_the_default_is_among_what_is_tried(name: str) -> None:
    option = OF_GROUPS[name] if name in OF_GROUPS else OF_MODELS[name][1]
    if isinstance(option.search, Choices):
        assert option.text(option.default) in option.search.texts
    else:
        assert option.search is not None
        assert option.search.low <= option.default <= option.search.high


@pytest.mark.parametrize("name", [*OF_MODELS, *OF_GROUPS])
def test_texts_are_read_as_the_value_that_they_stand_for(name: str) -> None:
    option = OF_GROUPS[name] if name in OF_GROUPS else OF_MODELS[name][1]
    for value in values(option):
        assert option.parse(option.text(value)) == value


def test_what_is_worth_a_search_is_searched() -> None:
    assert {"learning_rate", "weight_decay"} <= OF_GROUPS.keys()
    names = {option.name for _, option in OF_MODELS.values()}
    assert names >= {"dropout", "hidden_size", "channels", "embedding_size", "kernel_sizes", "num_layers"}
    for level, kind in (("sequence", "tokens"), ("sequence", "series"), ("step", "tokens")):
        searched = [
            name for name, model in MODELS.items() if kind in model.searched and level in model.levels
        ]
        assert len(searched) >= 2
        assert all(kind in MODELS[name].reads for name in searched)
