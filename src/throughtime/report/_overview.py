"""The top of a page of diagnoses: a table of the models, and a picture with all of them in one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from throughtime.report._content import Curve
from throughtime.report._style import COLOURS, in_figure, layout

Diagnosis = Mapping[str, Any]

_DASHES = ("solid", "dash", "dot", "dashdot")


def overview_rows(models: Mapping[str, Diagnosis]) -> list[dict[str, Any]]:
    """Return a row for each model: how well it does, its size, and how much there is to say of it."""
    return [_row(name, found) for name, found in models.items()]


def _row(name: str, found: Diagnosis) -> dict[str, Any]:
    quality = found.get("quality") or {}
    severities = [finding["severity"] for finding in found["findings"]]
    exponents = [one["exponents"][0] for one in found["lyapunov"] if one["exponents"]]
    return {
        "name": name,
        "accuracy": quality.get("accuracy"),
        "loss": quality.get("loss", found.get("loss")),
        "memoryless_loss": quality.get("memoryless_loss"),
        "parameters": found.get("parameters"),
        "exponent": max((x for x in exponents if x is not None), default=None),
        "problems": severities.count("problem"),
        "warnings": severities.count("warning"),
    }


def compared_flow_figure(models: Mapping[str, Diagnosis]) -> go.Figure:
    """Draw the gradient of the state against the one at the end of reading, a line for each model.

    Of a model with several layers and directions it is the one whose gradient reaches furthest. The state of
    an LSTM is h and c together.
    """
    figure = go.Figure()
    for place, (name, found) in enumerate(models.items()):
        lines = [_relative(layer["from_end"]) for layer in found["layers"]]
        values = max(lines, key=_reach)
        figure.add_trace(
            go.Scatter(
                x=list(range(len(values))),
                y=[value if value > 0 else None for value in values],
                name=in_figure(name),
                mode="lines",
                line={
                    "color": COLOURS[place % len(COLOURS)],
                    "dash": _DASHES[place // len(COLOURS) % len(_DASHES)],
                    "width": 2,
                },
                hovertemplate="%{x} steps: %{y:.3g}<extra></extra>",
            )
        )
    figure.update_layout(
        layout(360 + 22 * len(models)), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    figure.update_yaxes(type="log", exponentformat="power", nticks=7, title="share of the last")
    figure.update_xaxes(title="steps to the end")
    return figure


def _relative(profiles: Mapping[str, Mapping[str, Sequence[float | None]]]) -> list[float]:
    parts = [profiles[of]["mean"] for of in ("h", "c") if of in profiles]
    norms = [math.hypot(*(value or 0.0 for value in values)) for values in zip(*parts, strict=True)]
    return [norm / norms[0] for norm in norms] if norms and norms[0] > 0 else norms


def _reach(values: Sequence[float]) -> float:
    """Return the sum of the shares: how many steps count as much as the last."""
    return math.fsum(values)


def curve_of(name: str, history: Sequence[Mapping[str, Any]]) -> Curve:
    """Return the learning curve of a run's history."""
    columns = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    return Curve(name, *([epoch[column] for epoch in history] for column in columns))
