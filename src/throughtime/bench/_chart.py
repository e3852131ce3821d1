"""The ratios as a picture: one self-contained page."""

from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from throughtime.bench._machine import Machine
from throughtime.bench._record import Row

_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
_COLOURS = {"torch": "#ee4c2c", "onnxruntime": "#5c6bc0", "openvino": "#00897b", "jax": "#8e24aa"}


def write_chart(path: Path, rows: Sequence[Row], machine: Machine) -> None:
    """Draw peer ÷ ours for every cell and shape, a panel for each mode and lengths, and write the page."""
    panels = [
        (mode, lengths)
        for mode in ("training", "inference")
        for lengths in ("ragged", "equal")
        if any((row.mode, row.lengths) == (mode, lengths) for row in rows)
    ]
    figure = make_subplots(
        rows=len(panels),
        cols=1,
        subplot_titles=[f"{mode}, {lengths} lengths" for mode, lengths in panels],
        vertical_spacing=0.36 / max(len(panels), 1),
    )
    named: set[str] = set()
    for number, panel in enumerate(panels, start=1):
        for peer in dict.fromkeys(row.peer for row in rows):
            chosen = [row for row in rows if row.peer == peer and (row.mode, row.lengths) == panel]
            if not chosen:
                continue
            figure.add_trace(
                go.Scatter(
                    x=[f"{row.cell} {row.shape}" for row in chosen],
                    y=[row.ratio for row in chosen],
                    mode="markers",
                    marker={"size": 9, "color": _COLOURS.get(peer)},
                    name=peer,
                    legendgroup=peer,
                    showlegend=peer not in named,
                    hovertemplate="%{x}: %{y:.2f} times<extra>" + peer + "</extra>",
                ),
                row=number,
                col=1,
            )
            named.add(peer)
        figure.add_hline(y=1, line={"color": "#888", "width": 1}, row=number, col=1)
        figure.update_yaxes(type="log", tickvals=_TICKS, title_text="peer ÷ ours", row=number, col=1)
        figure.update_xaxes(tickangle=-60, tickfont={"size": 10}, row=number, col=1)
    figure.update_layout(
        title=f"How many times faster throughtime is: {machine.processor}, {machine.threads} threads, "
        f"{machine.instruction_set}, {machine.date}",
        height=max(430 * len(panels), 430) + 120,
        template="plotly_white",
        margin={"t": 110},
    )
    path.write_text(figure.to_html(include_plotlyjs=True, full_html=True), "utf-8")
