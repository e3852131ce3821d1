"""Pictures of how well a classifier does, of what `throughtime.training.quality` returns."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from throughtime.report._style import COLOURS, in_figure, layout

# More classes than this make no readable matrix: the most confused ones stand for all.
_MOST = 30


def confusion_figure(found: Mapping[str, Any]) -> go.Figure:
    """Draw the confusion matrix, each row as shares of its class."""
    classes, confusion = list(found["classes"]), found["confusion"]
    if len(classes) > _MOST:
        mistakes = [
            sum(row) - row[i] + sum(other[i] for other in confusion) - row[i]
            for i, row in enumerate(confusion)
        ]
        kept = sorted(sorted(range(len(classes)), key=lambda i: -mistakes[i])[:_MOST])
        classes = [classes[i] for i in kept]
        confusion = [[confusion[i][j] for j in kept] for i in kept]
    shares = [[value / max(1, sum(row)) for value in row] for row in confusion]
    # Positions, as names may be alike in their beginnings, or look like numbers or dates.
    places, names = list(range(len(classes))), [in_figure(name, most=16) for name in classes]
    said = [[f"is {names[i]}, called {names[j]}: {confusion[i][j]}" for j in places] for i in places]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=places,
            y=places,
            text=confusion if len(classes) <= 12 else None,
            texttemplate="%{text}" if len(classes) <= 12 else None,
            colorscale="Blues",
            zmin=0,
            zmax=1,
            colorbar={"title": {"text": "share"}, "thickness": 12},
            customdata=said,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_layout(layout(150 + 32 * max(4, len(classes))))
    ticks = {"tickvals": places, "ticktext": names, "automargin": True}
    figure.update_xaxes(title="predicted", tickangle=-45 if len(classes) > 4 else 0, **ticks)
    figure.update_yaxes(title="true class", autorange="reversed", **ticks)
    return figure


def calibration_figure(found: Mapping[str, Any]) -> go.Figure:
    """Draw how often predictions of a given probability are right."""
    bins = found["calibration"]
    figure = go.Figure(
        go.Scatter(
            x=[0, 100],
            y=[0, 100],
            mode="lines",
            line={"color": "#8b949e", "dash": "dot"},
            name="perfect calibration",
            hoverinfo="skip",
        )
    )
    most = max(one["count"] for one in bins)
    figure.add_trace(
        go.Scatter(
            x=[100 * one["confidence"] for one in bins],
            y=[100 * one["accuracy"] for one in bins],
            mode="lines+markers",
            marker={"size": [8 + 16 * (one["count"] / most) ** 0.5 for one in bins], "color": COLOURS[0]},
            line={"color": COLOURS[0]},
            name="predictions, larger where there are more",
            customdata=[one["count"] for one in bins],
            hovertemplate="%{customdata} predictions at %{x:.0f} %: %{y:.0f} % right<extra></extra>",
        )
    )
    figure.update_layout(layout(340), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(title="confidence in %", range=[-2, 104])
    figure.update_yaxes(title="accuracy in %", range=[-4, 108])
    return figure
