"""Plotly figures of the notebooks: lines, bars, heat maps, and texts whose tokens are coloured."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which colour-blind readers can distinguish."""


def lines(
    series: Mapping[str, Any],
    x_title: str,
    y_title: str,
    *,
    x: Any = None,
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = True,
    dotted: str = "",
) -> go.Figure:
    """Draw one line for each series, over its index or over ``x``; the one named ``dotted`` has dots."""
    figure = go.Figure()
    for number, (name, values) in enumerate(series.items()):
        y = _numbers(values)
        figure.add_trace(
            go.Scatter(
                x=list(range(len(y))) if x is None else _numbers(x),
                y=[value if value > 0 else None for value in y] if log_y else y,
                name=name,
                mode="lines+markers" if markers else "lines",
                line={
                    "color": COLOURS[number % len(COLOURS)],
                    "width": 4 if name == dotted else 2,
                    "dash": "dot" if name == dotted else "solid",
                },
            )
        )
    figure.update_xaxes(title=x_title, type="log" if log_x else "linear")
    figure.update_yaxes(title=y_title, type="log" if log_y else "linear", exponentformat="power")
    return _laid_out(figure, 340, legend=len(series) > 1)


def bars(values: Mapping[str, Any], y_title: str, x_title: str = "") -> go.Figure:
    """Draw one bar for each name."""
    figure = go.Figure(
        go.Bar(x=list(values), y=[float(value) for value in values.values()], marker={"color": COLOURS[0]})
    )
    figure.update_xaxes(title=x_title, type="category")
    figure.update_yaxes(title=y_title, rangemode="tozero")
    return _laid_out(figure, 320, legend=False)


def heat(
    matrix: Any,
    x_title: str,
    y_title: str,
    colour_title: str,
    *,
    x: Sequence[str] | None = None,
    y: Sequence[str] | None = None,
    diverging: bool = False,
) -> go.Figure:
    """Draw a matrix; ``diverging`` puts white at zero."""
    rows = [_numbers(row) for row in matrix]
    figure = go.Figure(
        go.Heatmap(
            z=rows,
            colorscale="RdBu_r" if diverging else "Viridis",
            zmid=0 if diverging else None,
            colorbar={"title": {"text": colour_title, "side": "right"}, "thickness": 12},
        )
    )
    figure.update_xaxes(title=x_title, **_ticks(x, len(rows[0])))
    figure.update_yaxes(title=y_title, autorange="reversed", automargin=True, **_ticks(y, len(rows)))
    return _laid_out(figure, max(260, min(460, 110 + 22 * len(rows))), legend=False)


def plane(points: Mapping[str, Any]) -> go.Figure:
    """Draw complex numbers with the unit circle."""
    figure = go.Figure()
    figure.add_shape(type="circle", x0=-1, y0=-1, x1=1, y1=1, line={"color": "#8b949e", "dash": "dot"})
    for number, (name, values) in enumerate(points.items()):
        figure.add_trace(
            go.Scatter(
                x=values.real.tolist(),
                y=values.imag.tolist(),
                name=name,
                mode="markers",
                marker={"color": COLOURS[number], "size": 8},
            )
        )
    figure.update_xaxes(title="real part", constrain="domain", range=[-1.6, 1.6])
    figure.update_yaxes(title="imaginary part", scaleanchor="x", range=[-1.6, 1.6])
    return _laid_out(figure, 420, legend=True)


def coloured(tokens: Sequence[str], scores: Any) -> str:
    """Return HTML in which orange tokens raise the outcome, and blue ones lower it."""
    numbers = _numbers(scores)
    most = max(map(abs, numbers)) or 1.0
    spans = (_span(token, score, abs(score) / most) for token, score in zip(tokens, numbers, strict=True))
    return f'<p style="line-height: 2">{" ".join(spans)}</p>'


def _span(token: str, score: float, strength: float) -> str:
    colour = "213,94,0" if score > 0 else "0,114,178"
    style = f"background: rgba({colour},{0.6 * strength:.2f}); padding: 0.1em 0.3em; border-radius: 3px"
    return f'<span title="{score:+.3f}" style="{style}">{html.escape(token)}</span>'


def _numbers(values: Any) -> list[float]:
    values = values.detach() if hasattr(values, "detach") else values
    return [float(value) for value in values]


def _ticks(names: Sequence[str] | None, count: int) -> dict[str, Any]:
    if names is None:
        return {}
    every = max(1, -(-count // 24))
    places = list(range(0, count, every))
    return {"tickvals": places, "ticktext": [html.escape(names[place]) for place in places]}


def _laid_out(figure: go.Figure, height: int, *, legend: bool) -> go.Figure:
    figure.update_layout(
        height=height,
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    )
    return figure
