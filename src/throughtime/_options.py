"""Options that are declared once: as the annotation of an argument or field, with help text and range.

`options_of` reads them from a signature; the command line, the checks of
values and the documentation use that.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from throughtime._duration import seconds_of
from throughtime._fields import short
from throughtime.errors import InputTypeError, ShapeError


@dataclass(frozen=True)
class Range:
    """Numbers that a hyper-parameter search draws from: whole ones of an option that is a whole number.

    Parameters
    ----------
    low, high : float
        Smallest and largest number, of at most three significant digits.
    log : bool
        Whether the logarithm is drawn evenly, in place of the number.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """Values that a hyper-parameter search draws from.

    Parameters
    ----------
    texts : tuple of str
        The values as they are written on the command line.
    """

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """What an option means, wherever it occurs: the second part of an ``Annotated`` type.

    Parameters
    ----------
    help : str
        One sentence for the command line.
    low, high : float or None
        Smallest and largest number.
    flag : str or None
        Its name on the command line, if that is not the name of the argument.
    metavar : str or None
        What its value is called in the help of the command line.
    duration : bool
        Whether it is a time in seconds, which the command line also takes as 90s, 5m or 1h.
    search : Range, Choices or None
        Values that ``throughtime tune`` tries; None is for an option that it leaves alone.
    """

    help: str
    low: float | None = None
    high: float | None = None
    flag: str | None = None
    metavar: str | None = None
    duration: bool = False
    search: Range | Choices | None = None


class _Kind(NamedTuple):
    words: str
    fits: Callable[[Any], bool]
    parse: Callable[[str], Any]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_whole, value))


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_list(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def _parse_truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text.lower() == "none" else parse(text)


def _or_auto(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: text.lower() if text.lower() == "auto" else parse(text)


_KINDS: Mapping[Any, _Kind] = {
    int: _Kind("a whole number", _is_whole, int),
    int | None: _Kind("a whole number or None", lambda v: v is None or _is_whole(v), _or_none(int)),
    int | Literal["auto"]: _Kind(
        "a whole number or 'auto'", lambda v: v == "auto" or _is_whole(v), _or_auto(int)
    ),
    int | Literal["auto"] | None: _Kind(
        "a whole number, 'auto' or None",
        lambda v: v is None or v == "auto" or _is_whole(v),
        _or_auto(_or_none(int)),
    ),
    float: _Kind("a number", _is_number, float),
    float | None: _Kind("a number or None", lambda v: v is None or _is_number(v), _or_none(float)),
    bool: _Kind("True or False", lambda v: isinstance(v, bool), _parse_truth),
    bool | None: _Kind("True, False or None", lambda v: v is None or isinstance(v, bool), _parse_truth),
    Sequence[int]: _Kind("a list of whole numbers", _is_list, _parse_list),
    int | Sequence[int]: _Kind(
        "a whole number or a list of them",
        lambda v: _is_whole(v) or _is_list(v),
        lambda text: _parse_list(text) if "," in text else int(text),
    ),
    str: _Kind("a string", lambda v: isinstance(v, str), str),
    str | None: _Kind("a string or None", lambda v: v is None or isinstance(v, str), str),
    Sequence[str]: _Kind("a list of strings", _is_names, _parse_names),
    Literal: _Kind("a string", lambda v: isinstance(v, str), str),
}


_METAVARS: Mapping[Any, str] = {
    int: "N",
    int | None: "N",
    int | Literal["auto"]: "N",
    int | Literal["auto"] | None: "N",
    float: "X",
    float | None: "X",
    Sequence[int]: "N,N,…",
    int | Sequence[int]: "N,N,…",
}


@dataclass(frozen=True)
class DeclaredOption:
    """An option: its type, range, default and help text.

    Parameters
    ----------
    name : str
        Of the argument, such as ``num_layers``.
    kind : type
        int, float, bool, str, a ``Literal``, ``Sequence[int]``, ``Sequence[str]``, ``int | Sequence[int]``,
        ``int | Literal["auto"]``, or one of int, float, bool and str with None.
    default : Any
        Value that it has if it is not given.
    meaning : Option
        Its help text and range.

    Examples
    --------
    >>> import throughtime as tt
    >>> option = tt.models.model_options("bilstm")["num_layers"]
    >>> option.flag, option.default, option.help
    ('--layers', 1, 'Number of recurrent layers.')
    >>> option.parse("2")
    2
    """

    name: str
    kind: Any
    default: Any
    meaning: Option

    @property
    def help(self) -> str:
        """The help text."""
        return self.meaning.help

    @property
    def flag(self) -> str:
        """Its name on the command line, such as ``--layers``."""
        return "--" + (self.meaning.flag or self.name).replace("_", "-")

    @property
    def metavar(self) -> str:
        """What its value is called in the help of the command line."""
        if self.meaning.metavar is not None:
            return self.meaning.metavar
        if self.choices:
            return "|".join(self.choices)
        return _METAVARS.get(self.kind, "TEXT")

    @property
    def search(self) -> Range | Choices | None:
        """The values that a hyper-parameter search tries."""
        return self.meaning.search

    @property
    def choices(self) -> tuple[str, ...]:
        """The strings that it may be; none of an option that is a number."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def check(self, value: Any, owner: str) -> None:
        """Check a value.

        Raises
        ------
        InputTypeError
            If it has the wrong type; the message begins with the owner's name.
        ShapeError
            If it is out of range.
        """
        if not self._kind.fits(value):
            raise InputTypeError(f"{owner}: {self.name} must be {self._kind.words}, got {short(value)}")
        if self.choices and value not in self.choices:
            choices = ", ".join(self.choices)
            raise ShapeError(f"{owner}: {self.name} must be one of {choices}, got {short(value)}")
        if not all(map(self._in_range, value if isinstance(value, list | tuple) else [value])):
            raise ShapeError(f"{owner}: {self.name} must be {self._range()}, got {short(value)}")

    def parse(self, text: str) -> Any:
        """Return the value that a text of the command line means: 64, 0.5, 3,4,5, true, none or max.

        Raises
        ------
        InputTypeError
            If the text is none of this option.
        """
        try:
            return seconds_of(text) if self.meaning.duration else self._kind.parse(text)
        except (ValueError, KeyError):
            words = "true or false" if self.kind is bool else self._kind.words
            words = "a time such as 90s, 5m or 1h" if self.meaning.duration else words
            raise InputTypeError(f"{self.flag} must be {words}, got {short(text)}") from None

    def text(self, value: Any) -> str:
        """Return the text that `parse` reads as a value.

        Examples
        --------
        >>> import throughtime as tt
        >>> tt.models.model_options("textcnn")["kernel_sizes"].text((3, 4, 5))
        '3,4,5'
        """
        if isinstance(value, list | tuple):
            return ",".join(map(str, value))
        return str(value).lower() if value is None or isinstance(value, bool) else str(value)

    @property
    def _kind(self) -> _Kind:
        return _KINDS[Literal if self.choices else self.kind]

    def _in_range(self, value: Any) -> bool:
        low, high = self.meaning.low, self.meaning.high
        if not _is_number(value):
            return True
        return (low is None or value >= low) and (high is None or value <= high)

    def _range(self) -> str:
        low, high = self.meaning.low, self.meaning.high
        return f"at least {low}" if high is None else f"from {low} to {high}"


def options_of(cls: type, defaults: Mapping[str, Any]) -> Mapping[str, DeclaredOption]:
    """Return the options of a class by name: its keyword arguments that are annotated with an `Option`."""
    options = {}
    for parameter in inspect.signature(cls).parameters.values():
        if get_origin(parameter.annotation) is Annotated:
            kind, meaning = get_args(parameter.annotation)
            default = defaults.get(parameter.name, parameter.default)
            options[parameter.name] = DeclaredOption(parameter.name, kind, default, meaning)
    return options


def named(name: str, value: Any = None) -> str:
    """Return an option as messages name it: to callers from Python, and in brackets on the command line.

    Examples
    --------
    >>> named("text"), named("text", "film title"), named("epochs", 30), named("skip_blank", value=True)
    ('text= (--text)', "text='film title' (--text 'film title')", 'epochs=30 (--epochs 30)', \
'skip_blank=True (--skip-blank)')
    """
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is True:
        return f"{name}={'' if value is None else True} ({flag})"
    is_word = re.fullmatch(r"[\w./-][\w.,/-]*", str(value))
    return f"{name}={value!r} ({flag} {value if is_word else repr(value)})"
