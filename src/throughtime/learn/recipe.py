"""`Recipe`: everything that a user asks of a training, as frozen dataclasses and JSON values."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from throughtime._fields import Fields, to_json
from throughtime._options import DeclaredOption, options_of
from throughtime.errors import ShapeError
from throughtime.learn.options import (
    BatchOptions,
    ColumnOptions,
    FileOptions,
    InputOptions,
    OptimizerOptions,
    SplitOptions,
    TextStreamOptions,
    WindowOptions,
)
from throughtime.models import MODELS, model_options, models_for
from throughtime.tasks import TASKS, NextStepTask
from throughtime.training import ModelSpec, Settings

CELLS = ("lstm", "gru", "rnn")
"""Names of recurrent cells, which also name the model of a task that predicts the next step."""
AUTO = "auto"
"""Name for the best by default: a blend of several models where the task has one, or its default model."""


@dataclass(frozen=True)
class Recipe:
    """What to train on which columns, and how.

    Parameters
    ----------
    task : str
        One of `throughtime.tasks.TASKS`.
    model : str
        One of `throughtime.models.MODELS`, or `AUTO`.
    model_options, task_options : mapping
        Options of the model and of the task.
    columns, files, split, inputs, batches, text_stream, windows, optimizer
        The groups of options of `throughtime.learn.options`.
    """

    task: str = "classification"
    model: str = AUTO
    model_options: Mapping[str, Any] = field(default_factory=dict)
    task_options: Mapping[str, Any] = field(default_factory=dict)
    columns: ColumnOptions = field(default_factory=ColumnOptions)
    files: FileOptions = field(default_factory=FileOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    inputs: InputOptions = field(default_factory=InputOptions)
    batches: BatchOptions = field(default_factory=BatchOptions)
    text_stream: TextStreamOptions = field(default_factory=TextStreamOptions)
    windows: WindowOptions = field(default_factory=WindowOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ShapeError(f"unknown task {self.task!r}; choose one of {', '.join(TASKS)}")
        if self.model != AUTO and self.model not in MODELS:
            raise ShapeError(f"unknown model {self.model!r}; choose one of {AUTO}, {', '.join(MODELS)}")
        known_to_model = _model_options(self.task, self.model)
        for name, value in self.model_options.items():
            if name not in known_to_model:
                raise ShapeError(_unknown(name, self.task, self.model, known_to_model))
            known_to_model[name].check(value, self.task if self.model == AUTO else self.model)
        known = task_options(self.task)
        for name, value in self.task_options.items():
            known[name].check(value, self.task)

    @classmethod
    def of(cls, task: str, model: str = AUTO, **options: Any) -> Self:
        """Return a recipe from options by name.

        Raises
        ------
        ShapeError
            If an option is unknown, or not one of this task and model.
        InputTypeError
            If an option has the wrong type.

        Examples
        --------
        >>> recipe = Recipe.of("classification", "gru", text=["title"], hidden_size=64, epochs=5)
        >>> recipe.columns.text, recipe.model_options, recipe.optimizer.epochs
        (('title',), {'hidden_size': 64}, 5)
        """
        return cls(task, model).changed(**options)

    @classmethod
    def parse(cls, task: str, model: str, options: Mapping[str, Any]) -> Self:
        """Return a recipe from options as texts, as on the command line; see `of`."""
        return cls(task, model).parsed(options)

    def parsed(self, options: Mapping[str, Any]) -> Self:
        """Return the recipe with options as texts, as on the command line."""
        places = dict(_places(self.task, self.model))
        values = {
            name: places[name][1].parse(value) if name in places and isinstance(value, str) else value
            for name, value in options.items()
        }
        return self.changed(**values)

    def changed(self, **options: Any) -> Self:
        """Return the recipe with other options; see `of`."""
        groups = {name: dict[str, Any]() for name in (*_GROUPS, "model_options", "task_options")}
        places = dict(_places(self.task, self.model))
        for name, value in options.items():
            if name not in places:
                raise ShapeError(_unknown(name, self.task, self.model, places))
            group, option = places[name]
            option.check(value, group.removesuffix("_options"))
            groups[group][name] = tuple(value) if isinstance(value, list) else value
        changes: dict[str, Any] = {
            name: dataclasses.replace(getattr(self, name), **groups[name]) for name in _GROUPS
        }
        for name in ("model_options", "task_options"):
            changes[name] = {**getattr(self, name), **groups[name]}
        return dataclasses.replace(self, **changes)

    def declared(self) -> dict[str, DeclaredOption]:
        """Return the options of this task and model by name."""
        return {name: option for name, (_, option) in _places(self.task, self.model)}

    def values(self) -> dict[str, Any]:
        """Return the value of each option of this task and model by name."""
        content = {}
        for name, (group, option) in _places(self.task, self.model):
            part = getattr(self, group)
            content[name] = (
                part.get(name, option.default) if isinstance(part, Mapping) else getattr(part, name)
            )
        return content

    @property
    def is_blend(self) -> bool:
        """Whether several models are trained and blended."""
        return self.model == AUTO and TASKS[self.task].blends

    def spec(self, inputs: Literal["tokens", "series"]) -> ModelSpec:
        """Return the architecture of a single model for tokens or series.

        Raises
        ------
        ShapeError
            If the task has no model for them.
        """
        kind = TASKS[self.task]
        if inputs not in kind.default_models:
            raise ShapeError(f"task {self.task!r} does not read {inputs}; choose another task")
        default = kind.default_models[inputs]
        if kind.level == "next" and self.model in CELLS:
            return ModelSpec(default, {**self.model_options, "cell": self.model})
        return ModelSpec(default if self.model == AUTO else self.model, self.model_options)

    def settings(self) -> Settings:
        """Return the settings of the training; "auto" ones must have been chosen."""
        optimizer: dict[str, Any] = dataclasses.asdict(self.optimizer)
        del optimizer["budget"]
        if optimizer["clip"] is None and optimizer["clip_percentile"] is None:
            optimizer["clip"] = 1.0
        if "windows" not in groups_of(self.task):
            batches: dict[str, Any] = {"tokens_per_batch": self.batches.tokens_per_batch}
            return Settings(**optimizer, **batches)
        windows = self.windows
        return Settings(**optimizer, k1=windows.bptt, k2=windows.bptt_k2, streams=windows.streams)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the recipe that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type.
        """
        fields = Fields(content, "recipe.")
        groups: dict[str, Any] = {name: fields.fields(name).dataclass(kind) for name, kind in _GROUPS.items()}
        mappings: dict[str, Any] = {name: fields.mapping(name) for name in ("model_options", "task_options")}
        return cls(fields.text("task"), fields.text("model"), **mappings, **groups)


_GROUPS: Mapping[str, type] = {
    f.name: f.default_factory  # type: ignore[misc]
    for f in dataclasses.fields(Recipe)
    if f.name not in {"task", "model", "model_options", "task_options"}
}
_OF_TABLES = ("columns", "files", "split", "inputs", "batches", "optimizer")
_OF_TEXTS = ("split", "inputs", "text_stream", "windows", "optimizer")
_OF_FRAMES = ("split", "windows", "optimizer")
_OF_ROWS = {"group", "time"}
_OF_VOCABULARY = {"vocabulary", "min_count"}


def task_options(task: str) -> Mapping[str, DeclaredOption]:
    """Return the options of a task: the fields of its class that are annotated with an `Option`."""
    return options_of(TASKS[task], {})


def groups_of(task: str) -> Sequence[str]:
    """Return the groups of options that a task reads."""
    if not issubclass(TASKS[task], NextStepTask):
        return _OF_TABLES
    return _OF_TEXTS if "tokens" in TASKS[task].default_models else _OF_FRAMES


def _options_of_group(task: str, group: str) -> Mapping[str, DeclaredOption]:
    """Return the options of a group that a task reads: of a text, not those of rows and other tokenizers."""
    options = group_options(group)
    if not issubclass(TASKS[task], NextStepTask):
        return options
    if group == "inputs":
        return {name: option for name, option in options.items() if name in _OF_VOCABULARY}
    return {name: option for name, option in options.items() if name not in _OF_ROWS}


def group_options(group: str) -> Mapping[str, DeclaredOption]:
    """Return the options of a group by name."""
    return options_of(_GROUPS[group], {})


def _places(task: str, model: str) -> Iterator[tuple[str, tuple[str, DeclaredOption]]]:
    """Yield each option of a task and model, with its group."""
    for group in groups_of(task):
        for name, option in _options_of_group(task, group).items():
            yield name, (group, option)
    for name, option in task_options(task).items():
        yield name, ("task_options", option)
    for name, option in _model_options(task, model).items():
        yield name, ("model_options", option)


def _model_options(task: str, model: str) -> Mapping[str, DeclaredOption]:
    """Return the options of a model, or of the default models of a task; none where models are blended."""
    kind = TASKS[task]
    if model != AUTO and not (kind.level == "next" and model in CELLS):
        return model_options(model)
    if kind.blends:
        return {}
    options: dict[str, DeclaredOption] = {}
    for name in kind.default_models.values():
        options |= model_options(name)
    return options


def _unknown(name: str, task: str, model: str, places: Mapping[str, Any]) -> str:
    """Return a message on an option that is not one of a task and model."""
    tasks = [other for other in TASKS if any(name == known for known, _ in _places(other, AUTO))]
    models = [other for other in models_for(TASKS[task].level) if name in model_options(other)]
    if models:
        if model == AUTO and TASKS[task].blends:
            return f"model 'auto' chooses {name}; to set it, name a model that has it: {', '.join(models)}"
        default = f"the default model ({', '.join(TASKS[task].default_models.values())})"
        what = default if model == AUTO else model
        return f"{what} has no option {name!r}; models that have it are {', '.join(models)}"
    if tasks:
        return f"{name} is not an option of task {task!r}, but of {', '.join(tasks)}; leave it out"
    return f"unknown option {name!r}; options of task {task!r} are {', '.join(places)}"
