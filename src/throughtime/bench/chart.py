"""The page of a benchmark: ratios of times, and times by length."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from throughtime._words import counted
from throughtime.bench.machine import Machine
from throughtime.report import RatioPanel, RatioPoint, TimePanel, write_benchmark


class Point(NamedTuple):
    """Ratio of the peer's time to ours, and its range over several processes."""

    panel: str
    what: str
    series: str
    ratio: float
    low: float | None = None
    high: float | None = None


def write_chart(
    path: Path,
    title: str,
    points: Sequence[Point],
    machine: Machine,
    *,
    times: Sequence[TimePanel] = (),
    about_times: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Write a page with a figure for each panel of points, and for each panel of times."""
    panels = list(dict.fromkeys(point.panel for point in points))
    write_benchmark(
        path,
        title,
        f"{machine.processor}, {counted(machine.threads, 'thread')}, {machine.instruction_set}, "
        f"{machine.date}",
        ratios=[
            RatioPanel(panel, "", [_ratio(point) for point in points if point.panel == panel])
            for panel in panels
        ],
        times=times,
        about_times=about_times,
        notes=notes,
    )


def _ratio(point: Point) -> RatioPoint:
    low = point.ratio if point.low is None else point.low
    high = point.ratio if point.high is None else point.high
    return RatioPoint(point.what, point.series, point.ratio, low, high)
