"""Figures of classifiers: confusion matrix and calibration."""

from collections.abc import Sequence

import plotly.graph_objects as go

from throughtime.report._style import COLOURS, in_figure, layout
from throughtime.tasks.calibration import CalibrationBin

# With more classes the matrix is not readable, so only those with the most mistakes are shown.
_MOST = 30


def confusion_figure(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> go.Figure:
    """Draw the confusion matrix, each row as fractions of its class."""
    if len(classes) > _MOST:
        mistakes = [
            sum(row) - row[i] + sum(other[i] for other in confusion) - row[i]
            for i, row in enumerate(confusion)
        ]
        chosen = sorted(sorted(range(len(classes)), key=lambda i: -mistakes[i])[:_MOST])
        classes = tuple(classes[i] for i in chosen)
        confusion = tuple(tuple(confusion[i][j] for j in chosen) for i in chosen)
    fractions = [[value / max(1, sum(row)) for value in row] for row in confusion]
    # Positions, because names may be equal when cut, or look like numbers or dates.
    places, names = list(range(len(classes))), [in_figure(name, most=16) for name in classes]
    hover = [[f"true {names[i]}, predicted {names[j]}: {confusion[i][j]}" for j in places] for i in places]
    figure = go.Figure(
        go.Heatmap(
            z=fractions,
            x=places,
            y=places,
            text=confusion if len(classes) <= 12 else None,
            texttemplate="%{text}" if len(classes) <= 12 else None,
            colorscale="Blues",
            zmin=0,
            zmax=1,
            colorbar={"title": {"text": "fraction"}, "thickness": 12},
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_layout(layout(150 + 32 * max(4, len(classes))))
    ticks = {"tickvals": places, "ticktext": names, "automargin": True}
    figure.update_xaxes(
        title="predicted", tickangle=-45 if len(classes) * max(map(len, names)) > 24 else 0, **ticks
    )
    figure.update_yaxes(title="true class", autorange="reversed", **ticks)
    return figure


def calibration_figure(bins: Sequence[CalibrationBin]) -> go.Figure:
    """Draw the accuracy of predictions by their confidence."""
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
    most = max(part.count for part in bins)
    figure.add_trace(
        go.Scatter(
            x=[100 * part.confidence for part in bins],
            y=[100 * part.accuracy for part in bins],
            mode="lines+markers",
            marker={"size": [8 + 16 * (part.count / most) ** 0.5 for part in bins], "color": COLOURS[0]},
            line={"color": COLOURS[0]},
            name="predictions (size: their number)",
            customdata=[part.count for part in bins],
            hovertemplate="%{customdata} predictions at %{x:.0f} %: %{y:.0f} % correct<extra></extra>",
        )
    )
    figure.update_layout(layout(340), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(title="confidence in %", range=[-2, 104])
    figure.update_yaxes(title="accuracy in %", range=[-4, 108])
    return figure
