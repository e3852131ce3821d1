"""`write_benchmark`: one page for the measurements of a benchmark, as ratios and as times by length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from throughtime.report._axes import log_axis
from throughtime.report._html import Page, write_page
from throughtime.report._numbers import duration
from throughtime.report._style import COLOURS, GREY, in_figure, layout, transparent


@dataclass(frozen=True)
class RatioPoint:
    """The time of another library divided by ours, with its range over several processes."""

    what: str
    series: str
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class RatioPanel:
    """Ratios of one kind; ``title`` and ``text`` stand above their figure."""

    title: str
    text: str
    points: Sequence[RatioPoint]


@dataclass(frozen=True)
class TimeCurve:
    """Seconds of a call by the length of its sequences, with their range over several processes."""

    name: str
    lengths: Sequence[int]
    seconds: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class TimePanel:
    """Curves over the same lengths; ``title`` and ``text`` stand above their figure."""

    title: str
    text: str
    curves: Sequence[TimeCurve]


def write_benchmark(
    path: Path,
    title: str,
    subtitle: str,
    *,
    ratios: Sequence[RatioPanel] = (),
    times: Sequence[TimePanel] = (),
    about_times: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Write the page of a benchmark, atomically.

    Parameters
    ----------
    path : Path
        The file.
    title, subtitle : str
        Heads of the page; the subtitle describes the machine.
    ratios : sequence of RatioPanel
        Times of other libraries divided by ours.
    times : sequence of TimePanel
        Times by the length of the sequences.
    about_times : str
        What the curves compare.
    notes : sequence of str
        What disturbed the measurement.
    """
    page = Page()
    content = page.render(
        "benchmark.html.jinja",
        title=title,
        subtitle=subtitle,
        notes=notes,
        about_times=about_times,
        times=[(panel, page.embed(_time_figure(panel.curves)), _time_rows(panel)) for panel in times],
        ratios=[(panel, page.embed(_ratio_figure(panel.points))) for panel in ratios],
    )
    write_page(path, content)


def _time_rows(panel: TimePanel) -> list[tuple[int, list[str]]]:
    """Return each length with the time of each curve, and for two curves their ratio."""
    rows = []
    for number, length in enumerate(panel.curves[0].lengths):
        seconds = [curve.seconds[number] for curve in panel.curves]
        ratio = [f"{seconds[1] / seconds[0]:.2f}"] if len(seconds) == 2 else []
        rows.append((length, [*map(duration, seconds), *ratio]))
    return rows


def _time_figure(curves: Sequence[TimeCurve]) -> go.Figure:
    """Draw milliseconds by length, both logarithmic, with the range over processes as a band."""
    figure = go.Figure()
    for colour, curve in zip(COLOURS * len(curves), curves, strict=False):
        lengths = list(curve.lengths)
        band = [1000 * value for value in (*curve.high, *reversed(curve.low))]
        figure.add_trace(
            go.Scatter(
                x=[*lengths, *reversed(lengths)],
                y=band,
                fill="toself",
                fillcolor=transparent(colour),
                line={"width": 0},
                mode="lines",
                showlegend=False,
                hoverinfo="skip",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=lengths,
                y=[1000 * value for value in curve.seconds],
                name=in_figure(curve.name),
                mode="lines+markers",
                line={"color": colour, "width": 2},
                hovertemplate="%{x:,} steps: %{y:.3g} ms<extra></extra>",
            )
        )
    lengths = sorted({length for curve in curves for length in curve.lengths})
    figure.update_layout(layout(340), showlegend=True)
    figure.update_yaxes(log_axis("time of one call in ms", [value for t in figure.data for value in t.y]))
    figure.update_xaxes(_length_axis(lengths))
    return figure


def _length_axis(lengths: Sequence[int]) -> dict[str, Any]:
    return {
        "title": "steps of each sequence",
        "type": "log",
        "tickvals": list(lengths),
        "ticktext": [f"{length:,}" for length in lengths],
        "minor": {"ticks": ""},
    }


def _ratio_figure(points: Sequence[RatioPoint]) -> go.Figure:
    """Draw the ratios of each shape on a line of its own, the first on top."""
    figure = go.Figure()
    shapes = list(dict.fromkeys(point.what for point in points))
    for number, series in enumerate(dict.fromkeys(point.series for point in points)):
        chosen = [point for point in points if point.series == series]
        figure.add_trace(
            go.Scatter(
                x=[point.ratio for point in chosen],
                y=[shapes.index(point.what) for point in chosen],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [point.high - point.ratio for point in chosen],
                    "arrayminus": [point.ratio - point.low for point in chosen],
                    "thickness": 1.2,
                    "width": 3,
                },
                mode="markers",
                marker={"size": 9, "color": COLOURS[number % len(COLOURS)]},
                name=in_figure(series),
                hovertemplate="%{x:.2f} times<extra>" + in_figure(series) + "</extra>",
            )
        )
    values = [end for point in points for end in (point.low, point.high, 1.0) if math.isfinite(end)]
    figure.add_vline(x=1, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(layout(140 + 28 * len(shapes)), showlegend=True)
    figure.update_xaxes(log_axis("peer's time ÷ ours", values))
    figure.update_yaxes(
        title="shape",
        tickvals=list(range(len(shapes))),
        ticktext=[in_figure(shape, most=40) for shape in shapes],
        range=[len(shapes) - 0.5, -0.5],
        zeroline=False,
    )
    return figure
