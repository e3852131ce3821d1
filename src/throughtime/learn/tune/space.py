"""`Space`: the models and options that a search varies, read from the declarations of the options."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from throughtime._options import Choices, DeclaredOption, Range, named
from throughtime.errors import ShapeError
from throughtime.learn.recipe import AUTO, CELLS, group_options, groups_of
from throughtime.models import MODELS, all_options, model_options, models_for
from throughtime.tasks import TASKS

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

_MODEL = "model"


@dataclass(frozen=True)
class Space:
    """What a search varies.

    Parameters
    ----------
    models : tuple of str
        The models; the first trial has the first one.
    options : mapping
        For each model its options by the name of their parameter in Optuna, such as ``bilstm.dropout`` or
        ``learning_rate``.
    """

    models: tuple[str, ...]
    options: Mapping[str, Mapping[str, DeclaredOption]]

    def defaults(self) -> dict[str, Any]:
        """Return the parameters of the first model with its defaults."""
        model = self.models[0]
        values = {
            name: option.text(option.default) if isinstance(option.search, Choices) else option.default
            for name, option in self.options[model].items()
        }
        return values if len(self.models) == 1 else {_MODEL: model, **values}

    def suggest(self, trial: "BaseTrial") -> None:
        """Ask a trial of Optuna for its parameters."""
        model = self.models[0]
        if len(self.models) > 1:
            model = trial.suggest_categorical(_MODEL, self.models)
        for name, option in self.options[model].items():
            _suggest(trial, name, option)

    def chosen(self, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the model and the options that parameters of Optuna mean.

        Raises
        ------
        ValueError
            If they are not those of this space.
        """
        model = parameters.get(_MODEL, self.models[0])
        if model not in self.options or not self.options[model].keys() <= parameters.keys():
            raise ValueError(f"the parameters of a trial are {', '.join(parameters)}")
        return model, {
            option.name: _value(option, parameters[name]) for name, option in self.options[model].items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return what is searched as JSON values, to compare it with that of a stored study."""
        return {
            model: {name: _as_json(option.search) for name, option in options.items()}
            for model, options in self.options.items()
        }


def space_of(
    task: str, inputs: Literal["tokens", "series"], model: str | None, given: Collection[str]
) -> Space:
    """Return what is searched for a task: all that is declared so and that the user has not given.

    Parameters
    ----------
    task : str
        Name of the task.
    inputs : "tokens" or "series"
        What the model reads.
    model : str or None
        Name of the model, if the user has given it.
    given : collection of str
        Names of the options that the user has given.

    Raises
    ------
    ShapeError
        If no model has all options that are given, or the model is "auto".

    Examples
    --------
    >>> space = space_of("classification", "tokens", None, {"dropout", "learning_rate"})
    >>> space.models
    ('textcnn', 'bilstm', 'bigru')
    >>> list(space.options["textcnn"])
    ['weight_decay', 'textcnn.embedding_size', 'textcnn.channels', 'textcnn.kernel_sizes']
    """
    if model == AUTO:
        raise ShapeError(
            "a search tries models one by one, and model 'auto' blends several without a search; name one, "
            f"or leave out {named('model')} to try several"
        )
    models = (model,) if model is not None else _candidates(task, inputs, given)
    return Space(models, {name: dict(_options(task, inputs, name, given)) for name in models})


def _candidates(task: str, inputs: Literal["tokens", "series"], given: Collection[str]) -> tuple[str, ...]:
    """Return the models to try, the default of the task first."""
    kind = TASKS[task]
    searched = [name for name in models_for(kind.level, inputs) if inputs in MODELS[name].searched]
    default = kind.default_models[inputs]
    models = sorted(searched, key=lambda name: name != default) or [default]
    needed = {name for name in given if name in all_options()}
    needed |= {"embedding_size"} if "vectors" in given else set()
    having = tuple(name for name in models if needed <= model_options(name).keys())
    if not having:
        raise ShapeError(
            f"none of the models {', '.join(models)} has the options {', '.join(sorted(needed))}; name a "
            "model that has them, or leave them out"
        )
    return having


def _options(
    task: str, inputs: Literal["tokens", "series"], model: str, given: Collection[str]
) -> Iterator[tuple[str, DeclaredOption]]:
    left_out = {*given, *_without_effect(task, inputs, model, given)}
    for group in groups_of(task):
        for name, option in group_options(group).items():
            if option.search is not None and name not in left_out:
                yield name, option
    kind = TASKS[task]
    named = kind.default_models[inputs] if kind.level == "next" and model in CELLS else model
    for name, option in model_options(named).items():
        if option.search is not None and name not in left_out:
            yield f"{model}.{name}", option


def _without_effect(
    task: str, inputs: Literal["tokens", "series"], model: str, given: Collection[str]
) -> Iterator[str]:
    """Yield options that change nothing for this task and these inputs."""
    if inputs == "series" or "vectors" in given:
        yield "embedding_size"
    if TASKS[task].level == "step":
        yield "pool"
    if model in CELLS:
        yield "cell"


def _suggest(trial: "BaseTrial", name: str, option: DeclaredOption) -> None:
    search = option.search
    if isinstance(search, Choices):
        trial.suggest_categorical(name, search.texts)
    elif isinstance(search, Range) and _is_real(option):
        trial.suggest_float(name, search.low, search.high, log=search.log)
    elif isinstance(search, Range):
        trial.suggest_int(name, int(search.low), int(search.high), log=search.log)


def _value(option: DeclaredOption, parameter: Any) -> Any:
    """Return the value of an option: real numbers have three digits, so that they can be typed again."""
    if isinstance(option.search, Choices):
        return option.parse(parameter)
    return float(f"{parameter:.3g}") if _is_real(option) else int(parameter)


def _is_real(option: DeclaredOption) -> bool:
    return option.kind in (float, float | None)


def _as_json(search: Range | Choices | None) -> list[Any]:
    if isinstance(search, Choices):
        return list(search.texts)
    return [] if search is None else [search.low, search.high, search.log]
