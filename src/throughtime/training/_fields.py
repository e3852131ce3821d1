"""`Fields`: entries of a JSON object, each of the kind that is asked for. Knows no file."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

Share = Annotated[float, "from 0 to 1"]
"""Annotation of a dataclass's field that `Fields.dataclass` reads as a number from 0 to 1."""
Positive = Annotated[int, "from 1"]
"""Annotation of a dataclass's field that `Fields.dataclass` reads as a whole number from 1."""

T = TypeVar("T")


class Fields:
    """The entries of a JSON object.

    Parameters
    ----------
    content : Any
        The object.
    place : str
        What to put before a key, for messages.

    Raises
    ------
    ValueError
        If ``content`` is not an object; each method, if an entry is missing or of another kind.

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
            raise ValueError(f"{what} must be an object, got {short(content)}")  # noqa: TRY004 - of a file
        self._content: Mapping[str, Any] = content

    def has(self, key: str) -> bool:
        """Tell whether there is such an entry."""
        return key in self._content

    def value(self, key: str) -> Any:
        """Return an entry of any kind."""
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
        """Return a dataclass made of the entries that its fields are named after.

        Their annotations are ``int`` (a whole number from 0), ``float`` (a finite number), `Share` or
        `Positive`.
        """
        return cls(**{key: self._number_of(key, kind) for key, kind in _annotations(cls)})

    def _number_of(self, key: str, kind: Any) -> float:
        if kind is float:
            return self.number(key)
        if kind == Share:
            return self.share(key)
        return self.whole(key, low=1 if kind == Positive else 0)

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
    return tuple(get_type_hints(cls, include_extras=True).items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def short(value: Any) -> str:
    """Return a value as Python writes it, cut to a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
