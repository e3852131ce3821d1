"""Times as texts: 90s, 30m, 2h."""

import re

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Return the seconds that a text such as 90s, 30m, 2h or 45 means.

    Raises
    ------
    ValueError
        If it means none.

    Examples
    --------
    >>> seconds_of("1.5m"), seconds_of("30")
    (90.0, 30.0)
    """
    parts = re.fullmatch(r"([0-9]*\.?[0-9]+)([smh]?)", text.strip().lower())
    if parts is None:
        raise ValueError(f"{text!r} is no time such as 90s, 30m or 2h")
    return float(parts[1]) * _UNITS[parts[2]]


def duration_text(seconds: float) -> str:
    """Return a time as `seconds_of` reads it, rounded up to whole seconds, minutes or tenths of hours.

    Examples
    --------
    >>> duration_text(12.1), duration_text(130), duration_text(7300)
    ('13s', '3m', '2.1h')
    """
    if seconds < 100:
        return f"{-int(-seconds // 1)}s"
    if seconds < 6000:
        return f"{-int(-seconds // 60)}m"
    return f"{-int(-seconds // 360) / 10:g}h"
