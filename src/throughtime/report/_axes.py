"""Axes of figures: percentages that end at 100, and logarithmic axes with readable labels."""

import math
from collections.abc import Iterable
from typing import Any

from throughtime.report._numbers import power_of_ten

_MOST_TICKS = 7


def percent_axis(title: str) -> dict[str, Any]:
    """Return an axis of percentages, which shows nothing below 0 or above 100."""
    return {"title": title, "autorangeoptions": {"clipmin": 0, "clipmax": 100}}


def log_axis(title: str, values: Iterable[float | None]) -> dict[str, Any]:
    """Return a logarithmic axis for these values, labelled at powers of ten, or at 1, 2 and 5.

    Examples
    --------
    >>> axis = log_axis("norm", [0.002, 0.03])
    >>> axis["ticktext"], [round(end, 2) for end in axis["range"]]
    (['0.002', '0.005', '0.01', '0.02'], [-2.78, -1.44])
    >>> log_axis("norm", [1e-15, 1.0])["ticktext"]
    ['10⁻¹⁵', '10⁻¹²', '10⁻⁹', '10⁻⁶', '0.001', '1']
    """
    positive = [value for value in values if value is not None and 0 < value < math.inf]
    low, high = (math.log10(end) for end in (min(positive, default=1.0), max(positive, default=1.0)))
    margin = max(0.05 * (high - low), 0.08)
    ends = (low - margin, high + margin)
    ticks = _ticks(*ends)
    return {
        "title": title,
        "type": "log",
        "range": list(ends),
        "tickvals": ticks,
        "ticktext": [_label(tick) for tick in ticks],
        "minor": {"ticks": ""},
    }


def _ticks(low: float, high: float) -> list[float]:
    """Return values between two powers of ten, at most seven."""
    decades = high - low
    if decades > 2.5:
        step = math.ceil(decades / _MOST_TICKS)
        return [10.0**power for power in range(math.ceil(low), math.floor(high) + 1) if power % step == 0]
    parts = (1, 2, 5) if decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 7)
    fine = [part * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for part in parts]
    return [tick for tick in fine if low <= math.log10(tick) <= high]


def _label(value: float) -> str:
    power = math.floor(math.log10(value) + 1e-9)
    if -3 <= power <= 3:
        return f"{value:.{max(0, -power)}f}" if _is_power(value, power) else f"{value:.3g}"
    factor = value / 10.0**power
    return power_of_ten(power) if _is_power(value, power) else f"{factor:.2g}·{power_of_ten(power)}"


def _is_power(value: float, power: int) -> bool:
    return math.isclose(value, 10.0**power)
