"""`Request`: the task, the model and the options that a user gives to a search."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from throughtime._fields import Fields, short
from throughtime._options import DeclaredOption
from throughtime.errors import RunError
from throughtime.learn.recipe import AUTO, Recipe
from throughtime.models import all_options


@dataclass(frozen=True)
class Request:
    """What a user asks of a search.

    Parameters
    ----------
    task : str or None
        Name of the task; None is classification.
    model : str or None
        Name of the model; None tries several.
    options : mapping
        Options by name, as values, or as texts of the command line.
    """

    task: str | None = None
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def parsed(self) -> "Request":
        """Return the request with its task, and with options as values.

        Raises
        ------
        ShapeError
            If the task, the model or an option is unknown, or out of range.
        InputTypeError
            If an option has the wrong type.
        """
        task = self.task or Recipe().task
        declared = Recipe(task, self.model or AUTO).declared()
        values = dict(_values(self.options, declared))
        request = replace(self, task=task, options=values)
        request.recipe()
        return request

    def recipe(self) -> Recipe:
        """Return the recipe, without options of the model if the model is not given."""
        task = self.task or Recipe().task
        if self.model is not None:
            return Recipe.of(task, self.model, **self.options)
        of_others = {name: value for name, value in self.options.items() if name not in all_options()}
        return Recipe.of(task, **of_others)

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of the model."""
        return {name: value for name, value in self.options.items() if name in all_options()}

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        content: dict[str, Any] = json.loads(
            json.dumps({"task": self.task, "model": self.model, "options": dict(self.options)})
        )
        return content

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Return the request that `to_json` wrote; raises ValueError if an entry is missing or wrong."""
        model = None if fields.value("model") is None else fields.text("model")
        return cls(fields.text("task"), model, fields.mapping("options"))

    def resumed(self, stored: "Request", out: object) -> "Request":
        """Return the stored request of a study, with which this one must agree where it says something.

        Raises
        ------
        RunError
            If it does not agree; the message names the difference.
        """
        for name, was, now in self._differences(stored):
            raise RunError(
                f"{out} is a study with {name} = {was}, now it is {now}; give the same, leave it out, or "
                "choose another --out"
            )
        return stored

    def _differences(self, stored: "Request") -> Iterator[tuple[str, str, str]]:
        for name in ("task", "model"):
            was, now = getattr(stored, name), getattr(self, name)
            if now not in (None, was):
                yield f"--{name}", short(was), short(now)
        if self.options:
            was_options = stored.to_json()["options"]
            task_and_model = replace(self, task=stored.task, model=stored.model)
            for name, now in task_and_model.parsed().to_json()["options"].items():
                if was_options.get(name) != now or name not in was_options:
                    yield f"--{name.replace('_', '-')}", short(was_options.get(name)), short(now)


def _values(options: Mapping[str, Any], declared: Mapping[str, DeclaredOption]) -> Iterator[tuple[str, Any]]:
    of_models = {name: next(iter(models.values())) for name, models in all_options().items()}
    known = {**of_models, **declared}
    for name, value in options.items():
        yield name, known[name].parse(value) if isinstance(value, str) and name in known else value
