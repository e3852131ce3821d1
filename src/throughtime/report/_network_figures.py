"""Figures of the networks of the demo: filters, gates, gradients, influence, and accuracy of parts."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from throughtime.report._axes import log_axis
from throughtime.report._network_content import Convolution, GateCurves, GroupAccuracy, Line, Mistakes
from throughtime.report._style import COLOURS, in_figure, layout

_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
_GREY = "#8b949e"
_DASHES = ("solid", "dot")


def groups_figure(models: Sequence[Mistakes]) -> go.Figure:
    """Draw the accuracy of every model on each kind of example."""
    return _accuracies(models, lambda model: model.groups, "operators of the family")


def lengths_figure(models: Sequence[Mistakes]) -> go.Figure:
    """Draw the accuracy of every model by length."""
    return _accuracies(models, lambda model: model.lengths, "tokens of the window")


def _accuracies(
    models: Sequence[Mistakes], parts_of: Callable[[Mistakes], Sequence[GroupAccuracy]], title: str
) -> go.Figure:
    figure, groups = go.Figure(), parts_of(models[0])
    for number, (colour, model) in enumerate(zip(COLOURS * len(models), models, strict=False)):
        parts = parts_of(model)
        figure.add_trace(
            go.Scatter(
                x=[100 * part.accuracy for part in parts],
                # Models side by side, so that their intervals do not hide each other.
                y=[place + 0.24 * (number - (len(models) - 1) / 2) for place in range(len(parts))],
                error_x={
                    "type": "data",
                    "array": [100 * (part.high - part.accuracy) for part in parts],
                    "arrayminus": [100 * (part.accuracy - part.low) for part in parts],
                    "thickness": 1.5,
                    "width": 4,
                },
                name=in_figure(model.name),
                mode="markers",
                marker={"size": 9, "color": colour},
                customdata=[part.count for part in parts],
                hovertemplate="%{x:.1f} % of %{customdata}<extra></extra>",
            )
        )
    figure.add_vline(x=50, line={"color": _GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(layout(height=120 + 52 * len(groups)), legend=_LEGEND)
    figure.update_xaxes(title="test accuracy in %", nticks=6)
    figure.update_yaxes(
        title=title,
        tickvals=list(range(len(groups))),
        ticktext=[f"{in_figure(group.group)}<br>({group.count:,})" for group in groups],
        range=[len(groups) - 0.5, -0.5],
        automargin=True,
        zeroline=False,
    )
    return figure


def filters_figure(convolutions: Sequence[Convolution]) -> go.Figure:
    """Draw every filter by the weight for its class and its highest activation."""
    figure = go.Figure()
    for colour, part in zip(COLOURS * len(convolutions), convolutions, strict=False):
        figure.add_trace(
            go.Scatter(
                x=[item.weight for item in part.filters],
                y=[item.activation for item in part.filters],
                name=f"{part.kernel_size} tokens",
                mode="markers",
                marker={"size": 7, "color": colour, "opacity": 0.7},
                customdata=[
                    [in_figure(item.ngrams[0], most=60), in_figure(item.towards)] for item in part.filters
                ],
                hovertemplate=(
                    "%{customdata[0]}<br>for %{customdata[1]}: weight %{x:.2f}, activation %{y:.2f}"
                    "<extra></extra>"
                ),
            )
        )
    figure.update_layout(layout(380), legend=_LEGEND)
    figure.update_xaxes(title="weight for the class that the filter speaks for", rangemode="tozero", nticks=7)
    figure.update_yaxes(title="highest activation", rangemode="tozero")
    return figure


def gates_around_figure(directions: Sequence[GateCurves]) -> go.Figure:
    """Draw the mean of each gate around the marked token, one direction below the other."""
    figure = make_subplots(
        rows=len(directions),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.14,
        subplot_titles=[direction.name for direction in directions],
    )
    for row, direction in enumerate(directions, start=1):
        for colour, line in zip(COLOURS, direction.means, strict=False):
            figure.add_trace(
                go.Scatter(
                    x=line.x,
                    y=line.y,
                    name=f"{line.name} gate",
                    legendgroup=line.name,
                    showlegend=row == 1,
                    mode="lines+markers",
                    marker={"size": 4},
                    line={"color": colour},
                    hovertemplate="%{x:+d} tokens: %{y:.3f}<extra></extra>",
                ),
                row=row,
                col=1,
            )
        figure.update_yaxes(title="mean, 0 to 1", row=row, col=1)
    figure.add_vline(x=0, line={"color": _GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(
        layout(120 + 230 * len(directions)), legend={**_LEGEND, "y": 1.06}, margin={"t": 70, "l": 60, "r": 20}
    )
    figure.update_annotations(font_size=14)
    figure.update_xaxes(title="tokens from the marked operator", row=len(directions), col=1)
    return figure


def gradients_figure(lines: Sequence[Line]) -> go.Figure:
    """Draw gradient norms by distance from the last step that is read; directions differ in their dash."""
    figure = go.Figure()
    for number, line in enumerate(lines):
        figure.add_trace(
            go.Scatter(
                x=line.x,
                y=[value if value and value > 0 else None for value in line.y],
                name=in_figure(line.name),
                mode="lines",
                line={"color": COLOURS[number // 2], "dash": _DASHES[number % 2], "width": 2},
                hovertemplate="%{x} steps: %{y:.3g}<extra></extra>",
            )
        )
    figure.update_layout(layout(400), legend=_LEGEND)
    figure.update_xaxes(title="steps before the last one read")
    figure.update_yaxes(log_axis("mean norm of the gradient", [value for line in lines for value in line.y]))
    return figure


def influence_figure(lines: Sequence[Line]) -> go.Figure:
    """Draw the mean fraction of influence of tokens by their distance from the marked one."""
    figure = go.Figure()
    for colour, line in zip(COLOURS * len(lines), lines, strict=False):
        figure.add_trace(
            go.Scatter(
                x=line.x,
                y=line.y,
                name=in_figure(line.name),
                mode="lines+markers",
                marker={"size": 5},
                line={"color": colour},
                hovertemplate="%{x:+d} tokens: %{y:.1f} %<extra></extra>",
            )
        )
    figure.add_vline(x=0, line={"color": _GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(layout(340), legend=_LEGEND)
    figure.update_xaxes(title="tokens from the marked operator", nticks=9)
    figure.update_yaxes(title="influence in % of the window", rangemode="tozero")
    return figure
