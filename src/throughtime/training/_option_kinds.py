"""Of what kind an option of a model is, by its annotation; checked before a constructor meets it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number", _is_whole),
    float: ("a number", _is_number),
    float | None: ("a number or None", lambda value: value is None or _is_number(value)),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    Sequence[int]: (
        "a list of whole numbers",
        lambda value: isinstance(value, list | tuple) and all(map(_is_whole, value)),
    ),
    Literal: ("a string", lambda value: isinstance(value, str)),
}


def expected_instead(annotation: Any, value: Any) -> str | None:
    """Return what an option must be, in words, if a value is not of that kind; else None.

    Examples
    --------
    >>> expected_instead(float, "high"), expected_instead(float, 0.5)
    ('a number', None)
    """
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kind = Literal if get_origin(annotation) is Literal else annotation
    if kind not in _KINDS:
        return None
    wanted, fits = _KINDS[kind]
    return None if fits(value) else wanted
