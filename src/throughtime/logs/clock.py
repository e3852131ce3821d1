"""Timestamps of log lines: their formats, and their conversion to seconds."""

import datetime as dt
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
_YEAR = 2000
"""Year of timestamps without one: a leap year."""
_DAY = 86400.0
_SEARCHED = 100
"""Number of first characters of a line in which a timestamp is searched."""
_TIME = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?"


class Stamp(NamedTuple):
    """A timestamp in a line.

    Parameters
    ----------
    seconds : float
        Seconds since 1970. The year of timestamps without one starts as 2000; timestamps without a date count
        from midnight of the first day of the log.
    start, end : int
        Range of characters in the line.
    """

    seconds: float
    start: int
    end: int


class _Format(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    seconds: Callable[[re.Match[str]], float]
    period: float = 0.0
    """Seconds after which a timestamp without a year or date repeats."""


def _fraction(text: str | None) -> float:
    return float("0." + text[1:]) if text else 0.0


@lru_cache(maxsize=4096)
def _of_date(year: int, month: int, day: int) -> float:
    return (dt.date(year, month, day).toordinal() - 719163) * _DAY


@lru_cache(maxsize=4096)
def _of_clock(clock: str) -> float:
    hours, minutes, seconds = clock.split(":")
    if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 60:
        raise ValueError(clock)
    return int(hours) * 3600.0 + int(minutes) * 60.0 + int(seconds)


def _of_time(text: str) -> float:
    clock, _, fraction = text.replace(",", ".").partition(".")
    return _of_clock(clock) + (float("0." + fraction) if fraction else 0.0)


@lru_cache(maxsize=64)
def _of_zone(zone: str | None) -> float:
    if not zone or zone in "Zz":
        return 0.0
    digits = zone[1:].replace(":", "")
    offset = int(digits[:2]) * 3600.0 + int(digits[2:] or 0) * 60.0
    return -offset if zone[0] == "+" else offset


def _iso(match: re.Match[str]) -> float:
    day = _of_date(int(match[1]), int(match[2]), int(match[3]))
    return day + _of_time(match[4]) + _of_zone(match[5])


def _month_first(match: re.Match[str]) -> float:
    return _of_date(_YEAR, _MONTHS[match[1].lower()], int(match[2])) + _of_time(match[3])


def _with_year(match: re.Match[str]) -> float:
    return _of_date(int(match[4]), _MONTHS[match[1].lower()], int(match[2])) + _of_time(match[3])


def _common(match: re.Match[str]) -> float:
    day = _of_date(int(match[3]), _MONTHS[match[2].lower()], int(match[1]))
    return day + _of_time(match[4]) + _of_zone(match[5])


def _digits(match: re.Match[str]) -> float:
    date, time = match[1], match[2]
    day = _of_date(2000 + int(date[:2]), int(date[2:4]), int(date[4:]))
    return day + _of_clock(f"{time[:2]}:{time[2:4]}:{time[4:]}")


def _month_number(match: re.Match[str]) -> float:
    return _of_date(_YEAR, int(match[1]), int(match[2])) + _of_time(match[3])


def _epoch(match: re.Match[str]) -> float:
    whole = match[1]
    return (int(whole) / 1000.0 if len(whole) == 13 else float(whole)) + _fraction(match[2])


def _clock(match: re.Match[str]) -> float:
    return _of_time(match[1])


_NAMES = "(" + "|".join(_MONTHS) + ")"
_LEAP_YEAR = 366 * _DAY


def _format(
    name: str, pattern: str, seconds: Callable[[re.Match[str]], float], period: float = 0.0
) -> _Format:
    return _Format(name, re.compile(pattern, re.IGNORECASE), seconds, period)


FORMATS = (
    _format(
        "2026-01-31 12:30:00",
        r"(?<![\d-])(\d{4})[-/.](\d{2})[-/.](\d{2})[T :]\s?"
        rf"({_TIME})(?:\s?(Z\b|[+-]\d{{2}}:?\d{{2}}(?!\d)))?",
        _iso,
    ),
    _format(
        "31/Jan/2026:12:30:00",
        rf"(?<!\d)(\d{{1,2}})[/ -]{_NAMES}[/ -](\d{{4}})[: ]({_TIME})(?:\s?([+-]\d{{4}}))?",
        _common,
    ),
    _format(
        "Jan 31 12:30:00 2026",
        rf"(?:\b[a-z]{{3}},? )?\b{_NAMES} {{1,2}}(\d{{1,2}}) ({_TIME}) (\d{{4}})\b",
        _with_year,
    ),
    _format("Jan 31 12:30:00", rf"\b{_NAMES} {{1,2}}(\d{{1,2}}) ({_TIME})", _month_first, _LEAP_YEAR),
    _format("260131 123000", r"^(\d{6}) (\d{6})(?!\d)", _digits),
    _format("01-31 12:30:00", rf"(?<![\d-])(\d{{2}})[-/](\d{{2}}) ({_TIME})", _month_number, _LEAP_YEAR),
    _format("I0131 12:30:00", rf"^[IWEFD](\d{{2}})(\d{{2}}) ({_TIME})", _month_number, _LEAP_YEAR),
    _format("1769862600", r"^[\[(]?([12]\d{9}(?:\d{3})?)(\.\d{1,9})?(?!\d)", _epoch),
    _format("12:30:00", rf"(?<![\d:.])({_TIME})(?![\d:])", _clock, _DAY),
)
"""Formats of timestamps, tried in this order."""


class Clock:
    """Parser of the timestamps of a log; the format of the previous line is tried first.

    If timestamps without a year (or date) decrease by more than half a year (or day), the next one begins.

    Examples
    --------
    >>> clock = Clock()
    >>> clock.read("2026-01-31 12:30:00,250 INFO started")
    Stamp(seconds=1769862600.25, start=0, end=23)
    >>> clock.read("    at Main.run(Main.java:7)") is None
    True
    """

    def __init__(self) -> None:
        self._formats = list(FORMATS)
        self._periods = 0.0
        self._last: float | None = None

    def read(self, line: str) -> Stamp | None:
        """Return the first timestamp in the first 100 characters of a line."""
        for number, known in enumerate(self._formats):
            match = known.pattern.search(line, 0, _SEARCHED)
            if match is None:
                continue
            try:
                seconds = known.seconds(match)
            except ValueError:  # such as month 13
                continue
            if number:
                self._formats.insert(0, self._formats.pop(number))
            return Stamp(self._continued(seconds, known.period), match.start(), match.end())
        return None

    def _continued(self, seconds: float, period: float) -> float:
        if not period:
            return seconds
        seconds += self._periods
        if self._last is not None and self._last - seconds > period / 2:
            self._periods += period
            seconds += period
        self._last = seconds
        return seconds
