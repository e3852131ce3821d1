"""Parameters of the estimators: those of scikit-learn's conventions, and the options of a training.

Options are declared in `throughtime.learn.options` and in the task; signatures and docstrings follow.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter, Signature
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

from throughtime._options import DeclaredOption
from throughtime.errors import InputTypeError
from throughtime.learn.recipe import group_options, groups_of, task_options
from throughtime.models import all_options

COLUMNS = ("text", "tokens", "series", "numeric")
"""Options that name columns of a data frame."""
_NOT_OFFERED = {
    *("target", "encoding", "delimiter", "skip_blank", "missing_target", "rare_classes"),
    *("validation_file", "test_file", "test", "seed", "class_weight"),
}
_Class = TypeVar("_Class", bound=type)


@dataclass(frozen=True)
class EstimatorParameter:
    """A parameter of an estimator, with what its docstring says of it."""

    name: str
    default: Any
    kind: str
    help: str

    @property
    def documentation(self) -> str:
        """Its entry in a docstring."""
        return f"{self.name} : {self.kind}, default={self.default!r}\n        {self.help}"


_MODEL = (
    EstimatorParameter(
        "model",
        "auto",
        "str or callable",
        'Name of a model, see `throughtime.models.MODELS`; or "auto", a blend of several models for\n'
        "        classification and regression, and one for other tasks. Or a function that builds a model\n"
        "        from `throughtime.models.ModelInputs` and the number of outputs.",
    ),
    EstimatorParameter(
        "model_options",
        None,
        "dict or None",
        "Options of the model such as ``{'dropout': 0.2}``, or keyword arguments of the function.",
    ),
)
_CONVENTIONS = (
    EstimatorParameter(
        "random_state",
        None,
        "int, RandomState or None",
        "Seed of the split, weights, batch order and dropout. None draws one from NumPy's global generator.",
    ),
    EstimatorParameter(
        "warm_start",
        default=False,
        kind="bool",
        help="Whether another ``fit`` begins with the weights of the last one. Vocabulary, scales and\n"
        "        classes are kept; optimizer and learning rate schedule begin anew.",
    ),
    EstimatorParameter("device", None, "str or None", '"cpu" or "cuda"; None is "cuda" if there is one.'),
    EstimatorParameter("verbose", default=False, kind="bool", help="Whether to print the progress."),
)


def offered_options(task: str) -> Mapping[str, DeclaredOption]:
    """Return the options of a training that the estimator of a task has as parameters."""
    groups = [group_options(group) for group in groups_of(task)]
    options = {name: option for group in (*groups, task_options(task)) for name, option in group.items()}
    return {name: option for name, option in options.items() if name not in _NOT_OFFERED}


def parameters_of(task: str, further: Sequence[EstimatorParameter] = ()) -> Iterator[EstimatorParameter]:
    """Yield the parameters of the estimator of a task."""
    yield from _MODEL
    for option in offered_options(task).values():
        yield _of_option(option)
    yield from further
    yield from _CONVENTIONS


def with_parameters(cls: _Class) -> _Class:
    """Give an estimator its constructor, and the section on parameters of its docstring."""
    parameters = list(parameters_of(cls.task.name, cls.further_parameters))  # type: ignore[attr-defined]
    keywords = [Parameter(p.name, Parameter.KEYWORD_ONLY, default=p.default) for p in parameters]
    signature = Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *keywords])

    def __init__(self: Any, **values: Any) -> None:  # noqa: N807 - becomes that of the class
        _require_known(cls, values, [parameter.name for parameter in parameters])
        bound = signature.bind(self, **values)
        bound.apply_defaults()
        for parameter in keywords:
            setattr(self, parameter.name, bound.arguments[parameter.name])

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = __init__  # type: ignore[misc]
    section = "\n    ".join(parameter.documentation for parameter in parameters)
    cls.__doc__ = (cls.__doc__ or "").replace("{parameters}", section)
    return cls


def _require_known(cls: type, values: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = next((name for name in values if name not in known), None)
    if unknown is None:
        return
    if unknown in all_options():
        advice = f"options of the model are given as model_options={{{unknown!r}: …}}"
    else:
        close = get_close_matches(unknown, known, 1)
        advice = f"did you mean {close[0]}?" if close else "see its docstring for those it has"
    raise InputTypeError(f"{cls.__name__} has no parameter {unknown!r}; {advice}")


def _of_option(option: DeclaredOption) -> EstimatorParameter:
    kind = _kind_name(option.kind)
    text = re.sub(r"--([a-z0-9-]+)", lambda match: f"``{match[1].replace('-', '_')}``", option.help)
    return EstimatorParameter(option.name, option.default, kind, text)


def _kind_name(kind: Any) -> str:
    """Return a type as docstrings write it."""
    if kind is None or kind is NoneType:
        return "None"
    if get_origin(kind) is Literal:
        return "{" + ", ".join(map(repr, get_args(kind))) + "}"
    if get_origin(kind) is Sequence:
        element = _kind_name(get_args(kind)[0])
        return f"{element} or sequence of {element}" if element == "str" else f"sequence of {element}"
    if isinstance(kind, type):
        return kind.__name__
    return " or ".join(map(_kind_name, get_args(kind)))
