"""Figures of classifiers: confusion matrix and calibration."""

from collections.abc import Sequence

import plotly.graph_objects as go

from throughtime.report._style import COLOURS, GREY, ColourLegend, in_figure, layout
from throughtime.tasks.calibration import CalibrationBin

# With more classes the matrix is not readable, so only those with the most mistakes are shown.
_MOST = 30


CONFUSION_COLOURS = ColourLegend("of the row", "0 %", "100 %", "Blues")


def confusion_figure(
    classes: Sequence[str], confusion: Sequence[Sequence[int]], kind: str = "class"
) -> go.Figure:
    """Draw the confusion matrix, each row in % of its class."""
    if len(classes) > _MOST:
        mistakes = [
            sum(row) - row[i] + sum(other[i] for other in confusion) - row[i]
            for i, row in enumerate(confusion)
        ]
        chosen = sorted(sorted(range(len(classes)), key=lambda i: -mistakes[i])[:_MOST])
        classes = tuple(classes[i] for i in chosen)
        confusion = tuple(tuple(confusion[i][j] for j in chosen) for i in chosen)
    percentages = [[100 * value / max(1, sum(row)) for value in row] for row in confusion]
    # Positions, because names may be equal when cut, or look like numbers or dates.
    places, names = list(range(len(classes))), [in_figure(name, most=16) for name in classes]
    hover = [[f"true {names[i]}, predicted {names[j]}: {confusion[i][j]}" for j in places] for i in places]
    figure = go.Figure(
        go.Heatmap(
            z=percentages,
            x=places,
            y=places,
            text=confusion if len(classes) <= 12 else None,
            texttemplate="%{text}" if len(classes) <= 12 else None,
            colorscale=CONFUSION_COLOURS.scale,
            zmin=0,
            zmax=100,
            showscale=False,
            customdata=hover,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    figure.update_layout(layout(150 + 32 * max(4, len(classes))))
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    figure.update_xaxes(
        title=f"predicted {kind}", tickangle=-45 if len(classes) * max(map(len, names)) > 24 else 0, **ticks
    )
    figure.update_yaxes(title=f"true {kind}", autorange="reversed", **ticks)
    return figure


def calibration_figure(bins: Sequence[CalibrationBin]) -> go.Figure:
    """Draw the accuracy of predictions by their confidence."""
    figure = go.Figure(
        go.Scatter(
            x=[0, 100],
            y=[0, 100],
            mode="lines",
            line={"color": GREY, "dash": "dot"},
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
    figure.update_layout(layout(360))
    figure.update_traces(cliponaxis=False)
    figure.update_xaxes(title="confidence in %", range=[0, 100])
    figure.update_yaxes(title="accuracy in %", range=[0, 100])
    return figure
