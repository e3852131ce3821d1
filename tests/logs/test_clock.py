"""Timestamps: every format against datetime, and what is no timestamp."""

import datetime as dt
from itertools import pairwise

import pytest

from throughtime.logs.clock import FORMATS, Clock

UTC = dt.UTC


def _seconds(*parts: int, offset: float = 0.0) -> float:
    zone = dt.timezone(dt.timedelta(hours=offset))
    return dt.datetime(*parts, tzinfo=zone).timestamp()  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("2026-01-31 12:30:05 INFO x", _seconds(2026, 1, 31, 12, 30, 5)),
        ("2026-01-31T12:30:05.250Z x", _seconds(2026, 1, 31, 12, 30, 5, 250_000)),
        ("[2026-01-31 12:30:05,250] x", _seconds(2026, 1, 31, 12, 30, 5, 250_000)),
        ("2026-01-31T12:30:05.123456789+02:00 x", _seconds(2026, 1, 31, 12, 30, 5, 123_457, offset=2)),
        ("2026-01-31 12:30:05 -0330 x", _seconds(2026, 1, 31, 12, 30, 5, offset=-3.5)),
        ("2026/01/31 12:30:05 x", _seconds(2026, 1, 31, 12, 30, 5)),
        ('time="2026-01-31T12:30:05Z" level=info', _seconds(2026, 1, 31, 12, 30, 5)),
        ('10.0.0.1 - - [31/Jan/2026:12:30:05 +0100] "GET /"', _seconds(2026, 1, 31, 12, 30, 5, offset=1)),
        ("[Sat Jan 31 12:30:05.250000 2026] [core:error] x", _seconds(2026, 1, 31, 12, 30, 5, 250_000)),
        ("Jan  5 12:30:05 host sshd[1]: x", _seconds(2000, 1, 5, 12, 30, 5)),
        ("<34>Feb 29 12:30:05 host x", _seconds(2000, 2, 29, 12, 30, 5)),
        ("260131 123005 148 INFO dfs.DataNode: x", _seconds(2026, 1, 31, 12, 30, 5)),
        ("01-31 12:30:05.250  1702  2395 D Power: x", _seconds(2000, 1, 31, 12, 30, 5, 250_000)),
        ("I0131 12:30:05.250000 7 main.cc:1] x", _seconds(2000, 1, 31, 12, 30, 5, 250_000)),
        ("1769862605.25 x", _seconds(2026, 1, 31, 12, 30, 5, 250_000)),
        ("1769862605250 x", _seconds(2026, 1, 31, 12, 30, 5, 250_000)),
        ("12:30:05.250 [main] INFO x", _seconds(1970, 1, 1, 12, 30, 5, 250_000)),
    ],
)
def test_formats(line: str, seconds: float) -> None:
    stamp = Clock().read(line)
    assert stamp is not None
    assert stamp.seconds == pytest.approx(seconds, abs=1e-6)
    assert not any(character.isalpha() for character in line[stamp.end : stamp.end + 1])


def test_each_format_is_recognised_by_its_example() -> None:
    for known in FORMATS:
        assert known.pattern.search(known.name), known.name
        assert Clock().read(f"{known.name} started") is not None


@pytest.mark.parametrize(
    "line",
    ["    at Main.run(Main.java:7)", "version 2.4.1 of 3", "2026-13-45 x", "25:61:00 x", "10.0.0.1:8080", ""],
)
def test_other_numbers_are_no_timestamps(line: str) -> None:
    assert Clock().read(line) is None


def test_a_year_ends_where_the_month_falls() -> None:
    clock = Clock()
    times = [clock.read(f"{day} 23:59:59 host x") for day in ("Dec 30", "Dec 31", "Jan  1", "Jan  2")]
    days = [time.seconds / 86400 for time in times if time is not None]
    assert [b - a for a, b in pairwise(days)] == [1.0, 1.0, 1.0]


def test_a_day_ends_where_the_hour_falls_but_not_at_a_late_line() -> None:
    clock = Clock()
    times = [clock.read(f"{text} x") for text in ("23:59:58", "00:00:01", "00:00:00", "12:00:00")]
    seconds = [time.seconds for time in times if time is not None]
    assert [b - a for a, b in pairwise(seconds)] == [3.0, -1.0, 43200.0]
