"""Chart of the ratios as a self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from throughtime.bench.machine import Machine

_TICKS = [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100]
_COLOURS = {
    "torch": "#ee4c2c",
    "onnxruntime": "#5c6bc0",
    "openvino": "#00897b",
    "jax": "#8e24aa",
    "training, ragged": "#ee4c2c",
    "training, equal": "#f4a582",
    "inference, ragged": "#0072b2",
    "inference, equal": "#92c5de",
}


class Point(NamedTuple):
    """Ratio of the peer's time to ours, and its range over several processes."""

    panel: str
    what: str
    series: str
    ratio: float
    low: float | None = None
    high: float | None = None


def write_chart(path: Path, points: Sequence[Point], machine: Machine) -> None:
    """Write a page with a plot for each panel."""
    panels = list(dict.fromkeys(point.panel for point in points))
    figure = make_subplots(
        rows=len(panels), cols=1, subplot_titles=panels, vertical_spacing=0.42 / max(len(panels), 1)
    )
    named: set[str] = set()
    for number, panel in enumerate(panels, start=1):
        for series in dict.fromkeys(point.series for point in points):
            chosen = [point for point in points if (point.series, point.panel) == (series, panel)]
            if chosen:
                figure.add_trace(_markers(chosen, series, shown=series not in named), row=number, col=1)
                named.add(series)
        figure.add_hline(y=1, line={"color": "#888", "width": 1}, row=number, col=1)
        figure.update_yaxes(type="log", tickvals=_TICKS, title_text="peer ÷ ours", row=number, col=1)
        figure.update_xaxes(tickangle=-60, tickfont={"size": 10}, row=number, col=1)
    figure.update_layout(
        title=f"How many times faster throughtime is: {machine.processor}, {machine.threads} threads, "
        f"{machine.instruction_set}, {machine.date}",
        height=max(430 * len(panels), 430) + 120,
        template="plotly_white",
        margin={"t": 110},
    )
    path.write_text(figure.to_html(include_plotlyjs=True, full_html=True), "utf-8")


def _markers(points: Sequence[Point], series: str, *, shown: bool) -> go.Scatter:
    spread = [
        (point.ratio - (point.low or point.ratio), (point.high or point.ratio) - point.ratio)
        for point in points
    ]
    return go.Scatter(
        x=[point.what for point in points],
        y=[point.ratio for point in points],
        error_y={
            "type": "data",
            "symmetric": False,
            "arrayminus": [low for low, _ in spread],
            "array": [high for _, high in spread],
            "thickness": 1.2,
        },
        mode="markers",
        marker={"size": 9, "color": _COLOURS.get(series)},
        name=series,
        legendgroup=series,
        showlegend=shown,
        hovertemplate="%{x}: %{y:.2f} times<extra>" + series + "</extra>",
    )
