"""The figures of a report, drawn with plotly."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from throughtime.report._content import Curve, ModelRow
from throughtime.report._style import COLOURS, in_figure, layout


def accuracy_figure(models: Sequence[ModelRow]) -> go.Figure:
    """Draw the accuracy of every model with its 95 % interval."""
    figure = go.Figure(
        go.Scatter(
            x=[100 * row.accuracy for row in models],
            y=[in_figure(row.name) for row in models],
            error_x={
                "type": "data",
                "array": [100 * (row.high - row.accuracy) for row in models],
                "arrayminus": [100 * (row.accuracy - row.low) for row in models],
                "thickness": 2,
                "width": 6,
            },
            mode="markers",
            marker={"size": 11, "color": COLOURS[0]},
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    )
    figure.update_layout(layout(height=70 + 46 * len(models)))
    figure.update_xaxes(title="test accuracy in %", ticksuffix=" ")
    figure.update_yaxes(autorange="reversed", automargin=True, type="category")
    return figure


def learning_figure(curves: Sequence[Curve]) -> go.Figure:
    """Draw loss and accuracy by epoch: training dotted, validation solid."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for colour, curve in zip(COLOURS * len(curves), curves, strict=False):
        name = in_figure(curve.name)
        for row, train, validation in (
            (1, _percent(curve.train_accuracy), _percent(curve.validation_accuracy)),
            (2, curve.train_loss, curve.validation_loss),
        ):
            for kind, values, dash in (("training", train, "dot"), ("validation", validation, "solid")):
                figure.add_trace(
                    go.Scatter(
                        x=list(range(1, len(values) + 1)),
                        y=list(values),
                        name=f"{name}, {kind}",
                        mode="lines+markers",
                        line={"color": colour, "dash": dash},
                        showlegend=row == 1,
                        legendgroup=f"{name} {kind}",
                    ),
                    row=row,
                    col=1,
                )
    figure.update_layout(layout(height=560), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(title="epoch", dtick=1, row=2, col=1)
    figure.update_xaxes(dtick=1, row=1, col=1)
    figure.update_yaxes(title="accuracy in %", row=1, col=1)
    figure.update_yaxes(title="cross-entropy in nats", row=2, col=1)
    return figure


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * value for value in values]
