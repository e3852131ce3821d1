"""Pictures of a diagnosis, each a plotly figure of what `throughtime.diagnose.diagnose` returns."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from throughtime.report._style import COLOURS, in_figure, layout, transparent

Layer = Mapping[str, Any]


def gradient_flow_figure(layer: Layer) -> go.Figure:
    """Draw ‖∂L/∂h‖ (and ‖∂L/∂c‖, or ‖∂L/∂x‖ of inputs) by distance from where reading stops and starts.

    Parameters
    ----------
    layer : mapping
        One of the "layers" of a diagnosis.
    """
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    for column, key in ((1, "from_end"), (2, "from_start")):
        for colour, of in zip(COLOURS, ("h", "c", "x"), strict=False):
            profile = layer[key].get(of)
            if profile is None:
                continue
            x = list(range(len(profile["mean"])))
            band = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
            figure.add_trace(go.Scatter(x=x, y=_positive(profile["0.9"]), **band), row=1, col=column)
            figure.add_trace(
                go.Scatter(
                    x=x, y=_positive(profile["0.1"]), fill="tonexty", fillcolor=transparent(colour), **band
                ),
                row=1,
                col=column,
            )
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=_positive(profile["mean"]),
                    name=f"∂L/∂{of}, mean and 10 – 90 %",
                    mode="lines",
                    line={"color": colour, "width": 2},
                    showlegend=column == 1,
                    hovertemplate="%{x} steps: %{y:.3g}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_layout(layout(360), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_yaxes(type="log", exponentformat="power", nticks=7)
    figure.update_yaxes(title="norm of the gradient", row=1, col=1)
    figure.update_xaxes(title="steps to the end", row=1, col=1)
    figure.update_xaxes(title="steps from the start", row=1, col=2)
    figure.update_xaxes(title_font_size=12, nticks=5)
    return figure


def input_gradient_figure(inputs: Mapping[str, Mapping[str, Sequence[float | None]]]) -> go.Figure:
    """Draw ‖∂L/∂x‖ of the inputs by distance from the end and from the start of their sequences."""
    return gradient_flow_figure({key: {"x": profile} for key, profile in inputs.items()})


def _positive(values: Sequence[float | None]) -> list[float | None]:
    """Leave gaps where a logarithmic axis has no place."""
    return [value if value is not None and value > 0 else None for value in values]


def flow_over_training_figure(records: Sequence[Mapping[str, Any]], place: int) -> go.Figure:
    """Draw the mean gradient by distance from the end, over the steps of a training, as a heat map.

    Parameters
    ----------
    records : sequence of mapping
        The lines of a record, see `throughtime.training.read_gradients`.
    place : int
        Which of their layers.
    """
    of = "c" if "c" in records[0]["layers"][place] else "h"
    rows = [record["layers"][place][of] for record in records]
    longest = max(map(len, rows))
    grid = [
        [math.log10(row[d]) if d < len(row) and row[d] and row[d] > 0 else None for row in rows]
        for d in range(longest)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=[record["step"] for record in records],
            y=list(range(longest)),
            colorscale="Viridis",
            colorbar={"title": {"text": f"log₁₀ ‖∂L/∂{of}‖"}, "thickness": 12},
            hovertemplate="step %{x}, %{y} before the end: 10^%{z:.2f}<extra></extra>",
        )
    )
    figure.update_layout(layout(340))
    figure.update_xaxes(title="step of the training")
    figure.update_yaxes(title="steps to the end", autorange="reversed")
    return figure


def clipping_figure(norms: Sequence[float], threshold: float | None) -> go.Figure:
    """Draw the norm of the gradient at every step of a training, and the threshold of clipping."""
    figure = go.Figure(
        go.Scatter(
            x=list(range(len(norms))),
            y=_positive(norms),
            name="norm of the gradient",
            mode="lines",
            line={"color": COLOURS[0], "width": 1.5},
            hovertemplate="step %{x}: %{y:.3g}<extra></extra>",
        )
    )
    if threshold:
        figure.add_trace(
            go.Scatter(
                x=[0, max(1, len(norms) - 1)],
                y=[threshold, threshold],
                name="clipped above",
                mode="lines",
                line={"color": COLOURS[1], "dash": "dot"},
                hoverinfo="skip",
            )
        )
    figure.update_layout(layout(300), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_yaxes(type="log", title="norm", exponentformat="power", nticks=6)
    figure.update_xaxes(title="step of the training")
    return figure


def spectrum_figure(spectra: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the eigenvalues of recurrent blocks in the complex plane, with the unit circle."""
    figure = go.Figure()
    angles = [2 * math.pi * i / 180 for i in range(181)]
    figure.add_trace(
        go.Scatter(
            x=[math.cos(a) for a in angles],
            y=[math.sin(a) for a in angles],
            mode="lines",
            line={"color": "#8b949e", "width": 1.5, "dash": "dot"},
            name="unit circle",
            hoverinfo="skip",
        )
    )
    for colour, one in zip(COLOURS * len(spectra), spectra, strict=False):
        figure.add_trace(
            go.Scatter(
                x=[z[0] for z in one["eigenvalues"]],
                y=[z[1] for z in one["eigenvalues"]],
                mode="markers",
                marker={"color": colour, "size": 7, "opacity": 0.75},
                name=_block(one),
                hovertemplate="%{x:.3f} %{y:+.3f} i<extra></extra>",
            )
        )
    figure.update_layout(layout(460), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(title="real part", zeroline=True, constrain="domain")
    figure.update_yaxes(title="imaginary part", zeroline=True, scaleanchor="x", scaleratio=1)
    return figure


def _block(one: Mapping[str, Any]) -> str:
    place = f"{one['block']}, layer {one['layer']}" + (", from the end" if one["direction"] else "")
    return f"{place}: ρ = {one['spectral_radius']:.3g}"


def prediction_figure(one: Mapping[str, Any]) -> go.Figure:
    """Draw the linear prediction of the gradient's norm, ‖(W_hhᵀ)ⁿ ∂L/∂h‖, and what was measured."""
    figure = go.Figure()
    for colour, dash, key, name in (
        (COLOURS[1], "dot", "prediction", "linear prediction from W_hh"),
        (COLOURS[0], "solid", "measured", "measured"),
    ):
        values = _positive(one[key])
        figure.add_trace(
            go.Scatter(
                x=list(range(len(values))),
                y=values,
                name=name,
                mode="lines",
                line={"color": colour, "dash": dash, "width": 2},
                hovertemplate="%{x} steps: %{y:.3g}<extra></extra>",
            )
        )
    figure.update_layout(layout(340), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    figure.update_yaxes(type="log", title="norm of ∂L/∂h", exponentformat="power", nticks=7)
    figure.update_xaxes(title="steps before the last one read")
    return figure


def lyapunov_figure(found: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the leading Lyapunov exponents of every layer and direction."""
    figure = go.Figure()
    for colour, one in zip(COLOURS * len(found), found, strict=False):
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(one["exponents"]) + 1)),
                y=one["exponents"],
                name=one["name"] + (", from the end" if one["direction"] else ""),
                mode="lines+markers",
                line={"color": colour},
                hovertemplate="λ %{x}: %{y:.3f} per step<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"color": "#8b949e", "dash": "dot", "width": 1.5})
    figure.update_layout(
        layout(320), showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    figure.update_xaxes(title="number of the exponent", dtick=1)
    figure.update_yaxes(title="growth rate per step")
    return figure


def recency_figure(recency: Mapping[str, Any]) -> go.Figure:
    """Draw the mean share of influence by distance from the end of a sequence; shares add up to 100 %."""
    figure = go.Figure(
        go.Bar(
            x=recency["distance"],
            y=[None if value is None else 100 * value for value in recency["mean"]],
            marker={"color": COLOURS[0]},
            customdata=recency["count"],
            hovertemplate="%{x} before the end: %{y:.1f} %, in %{customdata} sequences<extra></extra>",
        )
    )
    figure.update_layout(layout(300), bargap=0.15)
    figure.update_xaxes(title="steps before the end of the sequence")
    figure.update_yaxes(title="share of influence in %", rangemode="tozero")
    return figure


def gates_figure(example: Mapping[str, Any], name: str) -> go.Figure:
    """Draw the means of a layer's gates over one sequence, with its tokens below."""
    gates = example["gates"][name]
    tokens = example["tokens"]
    figure = go.Figure(
        go.Heatmap(
            z=list(gates.values()),
            x=list(range(len(tokens))),
            y=list(gates),
            zmin=0,
            zmax=1,
            colorscale="Viridis",
            colorbar={"title": {"text": "mean"}, "thickness": 12},
            customdata=[[in_figure(token) for token in tokens]] * len(gates),
            hovertemplate="%{y} at %{customdata}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_layout(layout(130 + 46 * len(gates)))
    every = max(1, math.ceil(len(tokens) / 24))
    shown = list(range(0, len(tokens), every))
    labels = [in_figure(tokens[i], most=12) for i in shown]
    figure.update_xaxes(tickvals=shown, ticktext=labels, tickangle=-60, automargin=True)
    figure.update_yaxes(automargin=True, autorange="reversed")
    return figure
