"""JSON of a run: indented when written, with limits on size, depth and numbers when read."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from throughtime.errors import InputTypeError, RunError

MOST_BYTES = 64 * 2**20
"""Maximum size of a JSON file of a run and of the header of a tensor file; 80,000 epochs take half of it."""

MOST_VALUES = 1_000_000
"""Approximate maximum number of values in such a file, as a list of 3 bytes takes 100 bytes of memory."""

_MOST_DEPTH = 64
_MOST = 2**63


def to_json(content: Any) -> bytes:
    """Return indented JSON in UTF-8, with a final newline.

    Raises
    ------
    InputTypeError
        If a value has no JSON form (such as infinity), or exceeds the limits of `json_object`, so that it
        could not be read again.
    """
    data = _encoded(content)
    if len(data) > MOST_BYTES:
        raise InputTypeError(
            f"a JSON file of a run may have at most {MOST_BYTES:,} bytes, got {len(data):,}; shorten names "
            "and descriptions"
        )
    try:
        json_value(data.decode())
    except ValueError as error:
        raise InputTypeError(f"these values cannot be saved in a run: {error}") from error
    return data


def _encoded(content: Any) -> bytes:
    try:
        return f"{json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()
    except UnicodeEncodeError:  # an unpaired surrogate has no UTF-8, but a JSON escape
        return f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputTypeError(f"a run can only save JSON values: {error}") from error


def json_value(text: str) -> Any:
    """Parse a JSON text.

    Raises
    ------
    ValueError
        If it is not JSON, or exceeds the limits of a run: infinity or NaN, integers beyond 64 bits, lists and
        objects nested more than 64 deep, or more than `MOST_VALUES` values.
    """
    require_few_values(text)
    try:
        content = json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("lists and objects are nested too deeply") from None
    _require_in_bounds(content)
    return content


def _require_in_bounds(content: Any) -> None:
    # Only containers are queued: a tuple for every number would double the memory.
    waiting: list[tuple[Any, int]] = [([content], 0)]
    while waiting:
        container, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise ValueError(f"lists and objects are nested more than {_MOST_DEPTH} deep")
        for value in container.values() if isinstance(container, dict) else container:
            if isinstance(value, dict | list):
                waiting.append((value, depth + 1))
            elif isinstance(value, float) and not math.isfinite(value):
                _refused(repr(value))
            elif isinstance(value, int) and not -_MOST <= value < _MOST:
                raise ValueError("an integer is beyond 64 bits")


def require_few_values(text: str) -> None:
    """Check the number of values of a JSON text before parsing it.

    Raises
    ------
    ValueError
        If it has more than `MOST_VALUES` brackets and commas, including those in strings.
    """
    count = sum(map(text.count, "[{,"))
    if count > MOST_VALUES:
        raise ValueError(f"about {count:,} values, but at most {MOST_VALUES:,} are allowed")


def json_object(data: bytes, path: Path) -> dict[str, Any]:
    """Parse the content of a JSON file of a run, which must be an object.

    Raises
    ------
    RunError
        If it is anything else; the message names the file.
    """
    try:
        content = json_value(data.decode())
    except ValueError as error:  # JSON and UTF-8 errors are ValueErrors
        raise RunError(f"{path} is damaged: not JSON ({error}); restore the file or train again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: not a JSON object; restore the file or train again")
    return content


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
