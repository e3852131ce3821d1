"""JSON of a run: written for people to read, and read with every value in bounds. No files."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from throughtime.errors import InputTypeError, RunError

MOST_BYTES = 64 * 2**20
"""Size limit of a JSON file of a run and of the header of a tensor file. 80,000 epochs take half of it."""

MOST_VALUES = 1_000_000
"""Values, about, in such a file: a list of 3 bytes takes 100 of memory. It is enough for 80,000 epochs."""

_MOST_DEPTH = 64
_MOST = 2**63


def to_json(content: Any) -> bytes:
    """Return JSON that people read: indented, UTF-8, with a final newline.

    Raises
    ------
    InputTypeError
        If something is not a value of JSON, which knows no infinity, or if the bounds of `json_object` are
        exceeded, so that nothing is written that cannot be read again.
    """
    data = _encoded(content)
    if len(data) > MOST_BYTES:
        raise InputTypeError(
            f"a file of a run holds at most {MOST_BYTES:,} bytes of JSON, got {len(data):,}; shorten names "
            "and descriptions"
        )
    try:
        json_value(data.decode())
    except ValueError as error:
        raise InputTypeError(f"a run cannot hold these values: {error}") from error
    return data


def _encoded(content: Any) -> bytes:
    try:
        return f"{json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, but an escape
        return f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputTypeError(f"a run holds values of JSON alone: {error}") from error


def json_value(text: str) -> Any:
    """Return what a JSON text says.

    Raises
    ------
    ValueError
        If it is not JSON, or holds what no run does: an infinity or NaN, an integer beyond 64 bits, lists and
        objects nested more than 64 deep, more than `MOST_VALUES`.
    """
    require_few_values(text)
    try:
        content = json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("lists and objects are nested too deeply") from None
    _require_in_bounds(content)
    return content


def _require_in_bounds(content: Any) -> None:
    # Only lists and objects are put aside for later: a tuple for every number would double the memory.
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
    """Check the number of values of a JSON text, before they are made.

    Raises
    ------
    ValueError
        If it has more than `MOST_VALUES`, counted by the brackets and commas, also those within strings.
    """
    count = sum(map(text.count, "[{,"))
    if count > MOST_VALUES:
        raise ValueError(f"about {count:,} values, and no such file has more than {MOST_VALUES:,}")


def json_object(data: bytes, path: Path) -> dict[str, Any]:
    """Return the JSON object that a file of a run holds, read with no more than `MOST_BYTES`.

    Raises
    ------
    RunError
        If it holds anything else; the message names the file.
    """
    try:
        content = json_value(data.decode())
    except ValueError as error:  # JSON and UTF-8 errors are both
        raise RunError(f"{path} is damaged: not JSON ({error}); restore the file or train again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: not a JSON object; restore the file or train again")
    return content


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
