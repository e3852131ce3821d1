"""Figures of a `Diagnosis`, drawn with plotly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from throughtime.diagnose import (
    ExampleDiagnosis,
    InputProfiles,
    LayerDiagnosis,
    LayerProfiles,
    LyapunovSummary,
    ProfileSummary,
    RecencySummary,
    SpectrumSummary,
)
from throughtime.report._axes import log_axis, percent_axis
from throughtime.report._numbers import number
from throughtime.report._style import COLOURS, GREY, ColourLegend, in_figure, layout, transparent
from throughtime.training import GradientRecord

_Profiles = Sequence[tuple[str, ProfileSummary | None]]
GATE_COLOURS = ColourLegend("mean over the units", "0 (closed)", "1 (open)", "Viridis")
_SYMBOLS = ("circle", "diamond", "cross", "triangle-up", "square", "star")


def gradient_flow_figures(layer: LayerDiagnosis) -> tuple[go.Figure, go.Figure]:
    """Draw ‖∂L/∂h‖ (and ‖∂L/∂c‖) by distance from where the layer stops, and from where it starts reading."""
    return _profile_figures(
        (_states(layer.from_end), "steps before the last one that is read"),
        (_states(layer.from_start), "steps after the first one that is read"),
    )


def input_gradient_figures(inputs: InputProfiles) -> tuple[go.Figure, go.Figure]:
    """Draw ‖∂L/∂x‖ of the inputs by distance from the end, and from the start of their sequences."""
    return _profile_figures(
        ([("x", inputs.from_end)], "steps before the end of the sequence"),
        ([("x", inputs.from_start)], "steps after the start of the sequence"),
    )


def _states(profiles: LayerProfiles) -> _Profiles:
    return [("h", profiles.h), ("c", profiles.c)]


def _profile_figures(
    from_end: tuple[_Profiles, str], from_start: tuple[_Profiles, str]
) -> tuple[go.Figure, go.Figure]:
    """Draw the two figures with the same vertical axis."""
    profiles = [profile for part, _ in (from_end, from_start) for _, profile in part if profile is not None]
    axis = log_axis(
        "norm of the gradient",
        [value for profile in profiles for value in (*profile.mean, *profile.q10, *profile.q90)],
    )
    return _profile_figure(*from_end, axis), _profile_figure(*from_start, axis)


def _profile_figure(profiles: _Profiles, title: str, axis: Mapping[str, Any]) -> go.Figure:
    figure = go.Figure()
    for colour, (name, profile) in zip(COLOURS, profiles, strict=False):
        if profile is not None:
            _add_profile(figure, colour, name, profile)
    figure.update_layout(layout(340), showlegend=True)
    figure.update_yaxes(axis)
    figure.update_xaxes(title=title, nticks=6)
    return figure


def _add_profile(figure: go.Figure, colour: str, name: str, profile: ProfileSummary) -> None:
    x = list(range(len(profile.mean)))
    band = {"x": x, "mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    upper = go.Scatter(y=_positive(profile.q90), **band)
    lower = go.Scatter(y=_positive(profile.q10), fill="tonexty", fillcolor=transparent(colour), **band)
    mean = go.Scatter(
        x=x,
        y=_positive(profile.mean),
        name=f"‖∂L/∂{name}‖",
        mode="lines",
        line={"color": colour, "width": 2},
        hovertemplate="%{x} steps: %{y:.3g}<extra></extra>",
    )
    figure.add_traces([upper, lower, mean])


def _positive(values: Sequence[float | None]) -> list[float | None]:
    """Return None for values that a logarithmic axis cannot show."""
    return [value if value is not None and value > 0 else None for value in values]


def flow_over_training_figure(
    records: Sequence[GradientRecord], layer: int
) -> tuple[go.Figure, ColourLegend]:
    """Draw the mean gradient by distance from the end over the training steps, as a heat map.

    Parameters
    ----------
    records : sequence of GradientRecord
        From `throughtime.training.read_gradients`.
    layer : int
        Index of the layer in each record.
    """
    layers = [record.layers[layer] for record in records]
    state = "h" if layers[0].c is None else "c"
    rows = [part.h if part.c is None else part.c for part in layers]
    longest = max(map(len, rows))
    grid = [
        [math.log10(row[d]) if d < len(row) and row[d] and row[d] > 0 else None for row in rows]
        for d in range(longest)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=[record.step for record in records],
            y=list(range(longest)),
            colorscale="Viridis",
            showscale=False,
            hovertemplate="step %{x}, %{y} before the last one: 10^%{z:.2f}<extra></extra>",
        )
    )
    figure.update_layout(layout(340))
    figure.update_xaxes(title="training step", showgrid=False, zeroline=False)
    figure.update_yaxes(
        title="steps before the last one read", autorange="reversed", showgrid=False, zeroline=False
    )
    values = [value for row in grid for value in row if value is not None]
    ends = (number(10 ** min(values)), number(10 ** max(values))) if values else ("", "")
    return figure, ColourLegend(f"mean ‖∂L/∂{state}‖, logarithmic", *ends, "Viridis")


def clipping_figure(norms: Sequence[float], threshold: float | None) -> go.Figure:
    """Draw the norm of the gradient at every training step, and the threshold of clipping."""
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
    figure.update_layout(layout(320), showlegend=True)
    figure.update_yaxes(log_axis("norm of the gradient", [*norms, threshold]))
    figure.update_xaxes(title="training step")
    return figure


def spectrum_figure(spectra: Sequence[SpectrumSummary]) -> go.Figure:
    """Draw the eigenvalues of recurrent blocks in the complex plane, with the unit circle."""
    figure = go.Figure()
    angles = [2 * math.pi * i / 180 for i in range(181)]
    figure.add_trace(
        go.Scatter(
            x=[math.cos(a) for a in angles],
            y=[math.sin(a) for a in angles],
            mode="lines",
            line={"color": GREY, "width": 1.5, "dash": "dot"},
            name="unit circle",
            hoverinfo="skip",
        )
    )
    blocks = list(dict.fromkeys(block.block for block in spectra))
    layers = list(dict.fromkeys((block.name, block.layer, block.direction) for block in spectra))
    for block in spectra:
        colour = COLOURS[blocks.index(block.block) % len(COLOURS)]
        symbol = _SYMBOLS[layers.index((block.name, block.layer, block.direction)) % len(_SYMBOLS)]
        figure.add_trace(
            go.Scatter(
                x=[z.real for z in block.eigenvalues],
                y=[z.imag for z in block.eigenvalues],
                mode="markers",
                marker={"color": colour, "size": 7, "opacity": 0.75, "symbol": symbol},
                name=block_name(block),
                hovertemplate="%{x:.3f} %{y:+.3f} i<extra></extra>",
            )
        )
    figure.update_layout(layout(420 + 22 * (1 + len(spectra))), showlegend=True)
    figure.update_xaxes(title="real part", zeroline=True, constrain="domain")
    figure.update_yaxes(title="imaginary part", zeroline=True, scaleanchor="x", scaleratio=1)
    return figure


def block_name(block: SpectrumSummary) -> str:
    """Return the name of a block of recurrent weights, such as "recurrent, from the end: forget"."""
    layer = f", layer {block.layer}" if block.layer else ""
    return f"{block.name}{layer}{', from the end' if block.direction else ''}: {block.block}"


def prediction_figure(block: SpectrumSummary) -> go.Figure:
    """Draw the linear prediction of the gradient norm, ‖(W_hhᵀ)ⁿ ∂L/∂h‖, and the measured norm."""
    figure = go.Figure()
    for colour, dash, norms, name in (
        (COLOURS[1], "dot", block.prediction, "linear prediction from W_hh"),
        (COLOURS[0], "solid", block.measured, "measured"),
    ):
        values = _positive(norms or ())
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
    figure.update_layout(layout(340), showlegend=True)
    figure.update_yaxes(log_axis("norm of ∂L/∂h", [*(block.prediction or ()), *(block.measured or ())]))
    figure.update_xaxes(title="steps before the last one that is read")
    return figure


def lyapunov_figure(layers: Sequence[LyapunovSummary]) -> go.Figure:
    """Draw the leading Lyapunov exponents of every layer and direction."""
    figure = go.Figure()
    for colour, part in zip(COLOURS * len(layers), layers, strict=False):
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(part.exponents) + 1)),
                y=part.exponents,
                name=part.name + (", from the end" if part.direction else ""),
                mode="lines+markers",
                line={"color": colour},
                hovertemplate="λ %{x}: %{y:.3f} per step<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_layout(layout(320), showlegend=True)
    figure.update_xaxes(title="number i of the exponent", dtick=1)
    figure.update_yaxes(title="λᵢ per step")
    return figure


def recency_figure(recency: RecencySummary) -> go.Figure:
    """Draw the mean fraction of influence by distance from the end of a sequence, in %."""
    figure = go.Figure(
        go.Bar(
            x=recency.distance,
            y=[None if value is None else 100 * value for value in recency.mean],
            marker={"color": COLOURS[0]},
            customdata=recency.count,
            hovertemplate="%{x} before the end: %{y:.1f} %, in %{customdata} sequences<extra></extra>",
        )
    )
    figure.update_layout(layout(300), bargap=0.15)
    figure.update_xaxes(title="steps before the end of the sequence")
    figure.update_yaxes(percent_axis("influence in %"), rangemode="tozero")
    return figure


def gates_figure(example: ExampleDiagnosis, layer: str) -> go.Figure:
    """Draw the mean of each gate of a layer at every step of a sequence, with the tokens below."""
    gates, tokens = example.gates[layer], example.tokens
    figure = go.Figure(
        go.Heatmap(
            z=list(gates.values()),
            x=list(range(len(tokens))),
            y=list(gates),
            zmin=0,
            zmax=1,
            colorscale="Viridis",
            showscale=False,
            customdata=[[in_figure(token) for token in tokens]] * len(gates),
            hovertemplate="%{y} at %{customdata}: %{z:.2f}<extra></extra>",
        )
    )
    figure.update_layout(layout(130 + 46 * len(gates)))
    every = max(1, math.ceil(len(tokens) / 24))
    shown = list(range(0, len(tokens), every))
    labels = [in_figure(tokens[i], most=12) for i in shown]
    figure.update_xaxes(
        title="step", tickvals=shown, ticktext=labels, tickangle=-60, showgrid=False, zeroline=False
    )
    figure.update_yaxes(title="gate", autorange="reversed", showgrid=False, zeroline=False)
    return figure
