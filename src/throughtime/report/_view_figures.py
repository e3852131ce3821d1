"""Figures of `throughtime.tasks.TaskViews` and of the data: scores, errors, lengths, targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from throughtime.report._axes import percent_axis
from throughtime.report._style import COLOURS, GREY, in_figure, layout, transparent
from throughtime.tasks.views import Histogram, RocCurve, Scatter

_MOST_NAMES = 30
_PLURALS = {"class": "sequences", "label": "labels", "tag": "tags"}


def histogram_figure(histogram: Histogram, count: str = "sequences") -> go.Figure:
    """Draw each group as percentages of itself, so that groups of different sizes can be compared."""
    figure = go.Figure()
    for number, (name, counts) in enumerate(histogram.groups.items()):
        total, colour = sum(counts), COLOURS[number % len(COLOURS)]
        figure.add_trace(
            go.Scatter(
                x=histogram.edges,
                y=[100 * value / total for value in (*counts, counts[-1])],
                name=f"{in_figure(name, most=40)} ({total:,})",
                mode="lines",
                line={"color": colour, "width": 2, "shape": "hv"},
                fill="tozeroy",
                fillcolor=transparent(colour),
                customdata=(*counts, counts[-1]),
                hovertemplate="from %{x:.4g}: %{customdata} (%{y:.1f} %)<extra></extra>",
            )
        )
    if histogram.threshold is not None:
        figure.add_vline(x=histogram.threshold, line={"color": GREY, "dash": "dash", "width": 2})
    figure.update_layout(layout(300), showlegend=len(histogram.groups) > 1)
    figure.update_xaxes(title=in_figure(histogram.title, most=60), nticks=6)
    figure.update_yaxes(percent_axis(f"{count} in %"), rangemode="tozero")
    return figure


def scatter_figure(points: Scatter) -> go.Figure:
    """Draw predicted by true values, with the line of perfect predictions."""
    ends = [min(points.truth + points.predicted), max(points.truth + points.predicted)]
    figure = go.Figure(
        [
            _reference(ends, "no error"),
            go.Scatter(
                x=points.truth,
                y=points.predicted,
                mode="markers",
                name="predictions",
                marker={"color": COLOURS[0], "size": 6, "opacity": 0.5},
                hovertemplate="true %{x:.4g}, predicted %{y:.4g}<extra></extra>",
            ),
        ]
    )
    figure.update_layout(layout(400))
    name = in_figure(points.name, most=30)
    figure.update_xaxes(title=f"true {name}", nticks=6)
    figure.update_yaxes(title=f"predicted {name}", nticks=6)
    return figure


def roc_figure(curve: RocCurve) -> go.Figure:
    """Draw the ROC curve, and the diagonal of scores that are random."""
    figure = go.Figure(
        [
            _reference([0, 100], "random scores"),
            go.Scatter(
                x=[100 * value for value in curve.false_positive_rate],
                y=[100 * value for value in curve.true_positive_rate],
                mode="lines",
                name="the model",
                line={"color": COLOURS[0], "width": 2},
                hovertemplate="false positives %{x:.1f} %, true positives %{y:.1f} %<extra></extra>",
            ),
        ]
    )
    figure.update_layout(layout(360))
    figure.update_traces(cliponaxis=False)
    figure.update_xaxes(title="false positive rate in %", range=[0, 100])
    figure.update_yaxes(title="true positive rate in %", range=[0, 100])
    return figure


def _reference(ends: Sequence[float], name: str) -> go.Scatter:
    """Return the dotted diagonal between two values."""
    line = {"color": GREY, "dash": "dot"}
    return go.Scatter(x=ends, y=ends, mode="lines", line=line, name=name, hoverinfo="skip")


def counts_figure(parts: Mapping[str, Mapping[str, int]], kind: str = "class") -> go.Figure:
    """Draw the fraction of each class (or label, or tag) in each part; of many the most frequent ones."""
    total = {
        name: sum(counts.get(name, 0) for counts in parts.values())
        for part in parts.values()
        for name in part
    }
    names = sorted(sorted(total, key=lambda name: -total[name])[:_MOST_NAMES], key=list(total).index)
    figure = go.Figure()
    for number, (part, counts) in enumerate(parts.items()):
        size = max(1, sum(counts.values()))
        figure.add_trace(
            go.Bar(
                y=list(range(len(names))),
                x=[100 * counts.get(name, 0) / size for name in names],
                orientation="h",
                name=in_figure(part),
                marker={"color": COLOURS[number % len(COLOURS)]},
                customdata=[counts.get(name, 0) for name in names],
                hovertemplate="%{customdata} (%{x:.1f} %)<extra></extra>",
            )
        )
    figure.update_layout(
        layout(110 + (10 + 10 * len(parts)) * max(2, len(names))), showlegend=True, bargap=0.3
    )
    labels = [in_figure(name, most=18) for name in names]
    figure.update_yaxes(
        title=kind, tickvals=list(range(len(names))), ticktext=labels, autorange="reversed", showgrid=False
    )
    figure.update_xaxes(percent_axis(f"{_PLURALS[kind]} of the part in %"), rangemode="tozero", nticks=6)
    return figure


def intervals_figure(
    axis: Mapping[str, Any], rows: Sequence[tuple[str, float, float, float]], scale: float
) -> go.Figure:
    """Draw a value with its interval for each name: ``(name, value, low, high)``, the first on top."""
    figure = go.Figure(
        go.Scatter(
            x=[scale * value for _, value, _, _ in rows],
            y=list(range(len(rows))),
            error_x={
                "type": "data",
                "array": [scale * (high - value) for _, value, _, high in rows],
                "arrayminus": [scale * (value - low) for _, value, low, _ in rows],
                "thickness": 2,
                "width": 6,
            },
            mode="markers",
            marker={"size": 11, "color": COLOURS[0]},
            hovertemplate="%{x:.4g}<extra></extra>",
        )
    )
    figure.update_layout(layout(90 + 42 * len(rows)))
    names = [in_figure(name, most=24) for name, *_ in rows]
    figure.update_traces(cliponaxis=False)
    figure.update_yaxes(
        title="run",
        tickvals=list(range(len(rows))),
        ticktext=names,
        range=[len(rows) - 0.5, -0.5],
        zeroline=False,
    )
    figure.update_xaxes(axis, nticks=6, zeroline=False)
    return figure
