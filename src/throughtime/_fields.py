"""JSON to frozen dataclasses and back: `Fields` reads and checks JSON objects, `to_json` writes them."""

import dataclasses
import functools
import math
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Share = Annotated[float, "from 0 to 1"]
"""Annotation of a dataclass field that `Fields.dataclass` reads as a number from 0 to 1."""
Positive = Annotated[int, "from 1"]
"""Annotation of a dataclass field that `Fields.dataclass` reads as a whole number from 1."""
Number = Annotated[float, "null is NaN"]
"""Annotation of a dataclass field that `Fields.dataclass` reads as a number, null as NaN."""

T = TypeVar("T")


class Fields:
    """Typed access to the entries of a JSON object.

    Parameters
    ----------
    content : Any
        The object.
    place : str
        Prefix of keys in messages.

    Raises
    ------
    ValueError
        If ``content`` is not an object; in each method, if the entry is missing or of another type.

    Examples
    --------
    >>> fields = Fields({"epoch": 3, "loss": "low"}, "history.")
    >>> fields.whole("epoch", low=1)
    3
    >>> fields.number("loss")
    Traceback (most recent call last):
        ...
    ValueError: history.loss must be a number, got 'low'
    """

    def __init__(self, content: Any, place: str = "") -> None:
        self._place = place
        if not isinstance(content, dict):
            what = place.rstrip(".") or "the content"
            raise ValueError(f"{what} must be an object, got {short(content)}")  # noqa: TRY004 - file content
        self._content: Mapping[str, Any] = content

    def has(self, key: str) -> bool:
        """Return whether there is such an entry."""
        return key in self._content

    def value(self, key: str) -> Any:
        """Return an entry of any type."""
        if key not in self._content:
            raise ValueError(f"{self._place}{key} is missing")
        return self._content[key]

    def text(self, key: str) -> str:
        """Return a string."""
        value = self.value(key)
        if isinstance(value, str):
            return value
        raise self._error(key, "a string")

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.value(key)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return tuple(value)
        raise self._error(key, "a list of strings")

    def one_of(self, key: str, choices: Sequence[str | None]) -> str | None:
        """Return one of several strings, or None where that is one of them."""
        value = self.value(key)
        if (value is None or isinstance(value, str)) and value in choices:
            return value
        raise self._error(key, f"one of {', '.join(map(repr, choices))}")

    def whole(self, key: str, *, low: int = 0) -> int:
        """Return a whole number."""
        value = self.value(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= low:
            return value
        raise self._error(key, f"a whole number from {low}")

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.value(key)
        if _is_number(value):
            return float(value)
        raise self._error(key, "a number")

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.value(key)
        if isinstance(value, bool):
            return value
        raise self._error(key, "true or false")

    def share(self, key: str) -> float:
        """Return a number from 0 to 1."""
        value = self.value(key)
        if _is_number(value) and 0 <= value <= 1:
            return float(value)
        raise self._error(key, "a number from 0 to 1")

    def numbers_or_null(self, key: str) -> list[float | None]:
        """Return a list of finite numbers, None where it has a null."""
        value = self.value(key)
        if isinstance(value, list) and all(part is None or _is_number(part) for part in value):
            return [None if part is None else float(part) for part in value]
        raise self._error(key, "a list of numbers")

    def dataclass(self, cls: Callable[..., T]) -> T:
        """Return a dataclass built from the entries named after its fields, by their annotations.

        Supported are ``int`` (a whole number from 0), ``float`` (a finite number), `Share`, `Positive`,
        `Number`, ``complex`` (a list of real and imaginary part), ``str``, ``bool``, ``Literal``,
        dataclasses, ``Mapping[str, X]``, ``tuple[X, ...]`` and ``Sequence[X]``, ``X | None`` (null, or a
        missing entry), ``Any``, ``Annotated[X, …]``, and unions of dataclasses (the first whose required
        fields are all present).
        """
        return cls(**self._values(cls))

    def check(self, cls: Callable[..., Any]) -> None:
        """Check that the entries are those of a dataclass, as `dataclass` does, without constructing it."""
        self._values(cls)

    def _values(self, cls: Callable[..., Any]) -> dict[str, Any]:
        return {key: self._read(key, kind) for key, kind in _annotations(cls)}

    def _read(self, key: str, kind: Any) -> Any:
        if get_origin(kind) is Annotated and kind not in (Share, Positive, Number):
            kind = get_args(kind)[0]
        if get_origin(kind) in (types.UnionType, Union):
            return self._union(key, get_args(kind))
        if get_origin(kind) in (tuple, Sequence):
            return self._tuple(key, get_args(kind)[0])
        if get_origin(kind) is Literal:
            return self.one_of(key, get_args(kind))
        if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping):
            entries = self.fields(key)
            return {name: entries._read(name, get_args(kind)[1]) for name in self.mapping(key)}  # noqa: SLF001
        if dataclasses.is_dataclass(kind):
            return self.fields(key).dataclass(kind)  # type: ignore[arg-type]
        return self._scalar(key, kind)

    def _scalar(self, key: str, kind: Any) -> Any:
        readers: Mapping[Any, Callable[[str], Any]] = {
            float: self.number,
            Share: self.share,
            Number: self._number_or_nan,
            int: self.whole,
            Positive: functools.partial(self.whole, low=1),
            str: self.text,
            bool: self.flag,
            complex: self._complex,
            Any: self.value,
        }
        return readers[kind](key)

    def _union(self, key: str, kinds: Sequence[Any]) -> Any:
        if types.NoneType in kinds and self._content.get(key) is None:
            return None
        literals = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
        if self._content.get(key) in literals:
            return self._content[key]
        choices = [kind for kind in kinds if kind is not types.NoneType and get_origin(kind) is not Literal]
        if not choices:
            raise self._error(key, f"one of {', '.join(map(repr, literals))}")
        if len(choices) == 1:
            return self._read(key, choices[0])
        content = self.mapping(key)
        fitting = [kind for kind in choices if all(name in content for name in _required(kind))]
        if not fitting:
            raise self._error(key, f"one of {', '.join(kind.__name__ for kind in choices)}")
        return self._read(key, fitting[0])

    def _tuple(self, key: str, kind: Any) -> tuple[Any, ...]:
        items = self.items(key)
        if kind is float or kind == Number or kind == float | None:
            return self._numbers(key, kind)
        elements = Fields(dict(zip(map(str, range(len(items))), items, strict=True)), f"{self._place}{key}.")
        return tuple(elements._read(str(number), kind) for number in range(len(items)))

    def _numbers(self, key: str, kind: Any) -> tuple[float | None, ...]:
        numbers = self.numbers_or_null(key)
        if kind is float and None in numbers:
            raise self._error(key, "a list of numbers")
        return (
            tuple(math.nan if number is None else number for number in numbers)
            if kind == Number
            else tuple(numbers)
        )

    def _number_or_nan(self, key: str) -> float:
        return math.nan if self.value(key) is None else self.number(key)

    def _complex(self, key: str) -> complex:
        parts = self._numbers(key, float)
        if len(parts) != 2:
            raise self._error(key, "a real and an imaginary part")
        return complex(*parts)  # type: ignore[arg-type]

    def items(self, key: str) -> list[Any]:
        """Return a list."""
        value = self.value(key)
        if isinstance(value, list):
            return value
        raise self._error(key, "a list")

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object."""
        value = self.value(key)
        if isinstance(value, dict):
            return value
        raise self._error(key, "an object")

    def fields(self, key: str) -> "Fields":
        """Return the entries of an object."""
        return Fields(self.mapping(key), f"{self._place}{key}.")

    def _error(self, key: str, wanted: str) -> ValueError:
        return ValueError(f"{self._place}{key} must be {wanted}, got {short(self.value(key))}")


@functools.cache
def _annotations(cls: Callable[..., Any]) -> Sequence[tuple[str, Any]]:
    hints = get_type_hints(cls, include_extras=True)
    if not dataclasses.is_dataclass(cls):
        return tuple(hints.items())
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(cls))


def _required(cls: Callable[..., Any]) -> list[str]:
    """Return the fields that cannot be None, and so cannot be missing."""
    return [name for name, kind in _annotations(cls) if types.NoneType not in get_args(kind)]


def to_json(value: Any) -> Any:
    """Return a dataclass, and those in its fields, as JSON values; null for numbers that are not finite.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Epoch:
    ...     losses: tuple[Number, ...]
    >>> to_json(Epoch((0.5, math.inf)))
    {'losses': [0.5, None]}
    >>> Fields({"losses": [0.5, None]}).dataclass(Epoch)
    Epoch(losses=(0.5, nan))
    """
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(entry) for entry in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def short(value: Any) -> str:
    """Return a value as Python writes it, cut to a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
