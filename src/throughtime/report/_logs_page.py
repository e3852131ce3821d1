"""`write_log_report`: one page for a scan of logs: surprise over time, top sessions, templates."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from throughtime.logs.formats import frequency_text, unusual_text
from throughtime.logs.scan import LogScan, TemplateCount, Timeline
from throughtime.report._html import Page, write_page
from throughtime.report._style import COLOURS, GREY, layout

_POINTS = 1000
"""Maximum number of points of the timeline; each is the highest score of a group of sessions."""
_MOST_TEMPLATES = 200


def write_log_report(path: Path, scan: LogScan, name: str) -> None:
    """Write the page of a scan, atomically.

    Parameters
    ----------
    path : Path
        The file.
    scan : LogScan
        From `throughtime.logs.scan_logs`.
    name : str
        Name of the scanned log.
    """
    page = Page()
    content = page.render(
        "logs.html.jinja",
        title=f"Logs: {name}",
        scan=scan,
        frequency_text=frequency_text,
        unusual_text=unusual_text,
        timeline=page.embed(_timeline_figure(scan.timeline)),
        counts=_by_difference(scan)[:_MOST_TEMPLATES],
        hidden=max(0, len(scan.counts) - _MOST_TEMPLATES),
    )
    write_page(path, content)


def _by_difference(scan: LogScan) -> list[TemplateCount]:
    """Return the templates, the one whose number of records differs most from the expected one first."""
    trained = sum(template.trained for template in scan.counts)

    def ratio(template: TemplateCount) -> float:
        expected = template.trained / trained * scan.records
        return abs(math.log((template.records + 1) / (expected + 1)))

    return sorted(scan.counts, key=ratio, reverse=True)


def _timeline_figure(timeline: Timeline) -> go.Figure:
    """Draw the score of each session by the time of its first record, those that are reported apart."""
    timed = not bool(np.isnan(timeline.times).any())
    x = timeline.times if timed else np.arange(1, len(timeline.scores) + 1)
    figure = go.Figure()
    for name, chosen, colour, size in (
        ("not reported", ~timeline.is_reported, COLOURS[0], 5),
        ("reported", timeline.is_reported, COLOURS[1], 8),
    ):
        places, scores = _highest(x[chosen], timeline.scores[chosen])
        shown = [dt.datetime.fromtimestamp(place, dt.UTC) for place in places] if timed else places
        figure.add_trace(
            go.Scatter(
                x=shown,
                y=scores,
                mode="markers",
                name=name,
                marker={"size": size, "color": colour},
                hovertemplate="%{x}: %{y:.1f}<extra></extra>",
            )
        )
    if timeline.is_reported.any():
        threshold = float(timeline.scores[timeline.is_reported].min())
        figure.add_hline(y=threshold, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(layout(320), showlegend=True)
    figure.update_yaxes(title="score of a session in nats", rangemode="tozero")
    figure.update_xaxes(title="time of the first record" if timed else "session")
    return figure


def _highest(x: NDArray[Any], scores: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Return a limited number of points: the highest of each group of neighbours."""
    groups = np.array_split(np.arange(len(scores)), min(_POINTS, max(1, len(scores))))
    highest = [group[np.argmax(scores[group])] for group in groups if len(group)]
    return [float(x[place]) for place in highest], [float(scores[place]) for place in highest]
