"""The figures of a report, drawn with plotly."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from throughtime.report._axes import percent_axis
from throughtime.report._content import Curve, ModelRow
from throughtime.report._style import COLOURS, in_figure, layout
from throughtime.tasks import METRICS

_DASHES = ("solid", "dash", "dot")


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
    figure.update_traces(cliponaxis=False)
    figure.update_xaxes(percent_axis("test accuracy in %"), zeroline=False)
    figure.update_yaxes(title="model", autorange="reversed", type="category")
    return figure


def learning_figure(curves: Sequence[Curve], *, nats: bool = False) -> go.Figure:
    """Draw every metric of training by epoch, one below the other: training dotted, validation solid.

    Of curves without training metrics, all validation metrics are drawn. ``nats`` is whether losses are
    negative logarithms of probabilities.
    """
    metrics = list(dict.fromkeys(name for curve in curves for name in curve.train or curve.validation))
    figure = make_subplots(rows=len(metrics), cols=1, shared_xaxes=True, vertical_spacing=0.16 / len(metrics))
    shown: set[str] = set()
    for row, metric in enumerate(metrics, start=1):
        for colour, curve in zip(COLOURS * len(curves), curves, strict=False):
            for trace in _traces(curve, metric, colour):
                trace.showlegend = trace.name not in shown
                shown.add(trace.name)
                figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(metric_axis(metric, nats=nats), row=row, col=1)
    figure.update_layout(layout(height=80 + 240 * len(metrics) + 22 * max(0, len(shown) - 2)))
    _epoch_axis(figure, max((len(trace.x) for trace in figure.data), default=1))
    figure.update_xaxes(title="epoch", row=len(metrics), col=1)
    return figure


def validation_figure(metrics: Mapping[str, Sequence[float]]) -> go.Figure:
    """Draw further validation metrics of one training: percentages together, each other one by itself."""
    percent = [name for name in metrics if METRICS[name].percent]
    panels = [*([percent] if percent else []), *([name] for name in metrics if not METRICS[name].percent)]
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.16 / len(panels))
    for row, names in enumerate(panels, start=1):
        for number, name in enumerate(names):
            scale = 100 if METRICS[name].percent else 1
            figure.add_trace(
                go.Scatter(
                    x=list(range(1, len(metrics[name]) + 1)),
                    y=[scale * value for value in metrics[name]],
                    name=METRICS[name].title,
                    mode="lines+markers",
                    line={
                        "color": COLOURS[number % len(COLOURS)],
                        "dash": _DASHES[number // len(COLOURS) % 3],
                    },
                    showlegend=len(names) > 1,
                ),
                row=row,
                col=1,
            )
        fractions = METRICS[names[0]].percent
        axis = percent_axis("validation metrics in %") if fractions else metric_axis(names[0])
        figure.update_yaxes(axis, row=row, col=1)
    figure.update_layout(layout(height=150 + 220 * len(panels)))
    _epoch_axis(figure, max(map(len, metrics.values())))
    figure.update_xaxes(title="epoch", row=len(panels), col=1)
    return figure


def metric_axis(name: str, *, nats: bool = False) -> dict[str, Any]:
    """Return the axis of a metric, with its unit."""
    metric = METRICS[name]
    unit = " in nats" if nats and name == "loss" else ""
    return percent_axis(f"{metric.title} in %") if metric.percent else {"title": metric.title + unit}


def _epoch_axis(figure: go.Figure, epochs: int) -> None:
    """Put at most 12 ticks on the axis, on whole epochs."""
    figure.update_traces(cliponaxis=False)
    figure.update_xaxes(dtick=math.ceil(epochs / 12), range=[0.7, epochs + 0.3])


def _traces(curve: Curve, metric: str, colour: str) -> Iterator[go.Scatter]:
    """Yield the curves of a metric in training and validation, as far as they are known."""
    scale = 100 if METRICS[metric].percent else 1
    parts = (("training", curve.train, "dot"), ("validation", curve.validation, "solid"))
    for part, values, dash in parts:
        if metric in values:
            name = f"{in_figure(curve.name)}, {part}"
            yield go.Scatter(
                x=list(range(1, len(values[metric]) + 1)),
                y=[scale * value for value in values[metric]],
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
                legendgroup=name,
            )
