"""The rows as points of the chart: a panel for each mode and lengths."""

from collections.abc import Sequence

from throughtime.bench.chart import Point
from throughtime.bench.recurrent.record import Row


def points_of(rows: Sequence[Row]) -> list[Point]:
    """Return the points, panel by panel."""
    return [
        Point(f"{mode}, {lengths} lengths", f"{row.cell} {row.shape}", row.peer, row.ratio)
        for mode in ("training", "inference")
        for lengths in ("ragged", "equal")
        for row in rows
        if (row.mode, row.lengths) == (mode, lengths)
    ]
