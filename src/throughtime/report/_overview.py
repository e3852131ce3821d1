"""The top of a page of diagnoses: a table of the models, and a picture with all of them in one."""

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
    bag = quality.get("bag_of_words") or {}
    return {
        "name": name,
        "accuracy": quality.get("accuracy"),
        "bag_accuracy": bag.get("accuracy"),
        "loss": quality.get("loss", found.get("loss")),
        "bag_loss": bag.get("loss"),
        "parameters": found.get("parameters"),
        "exponent": max((x for x in exponents if x is not None), default=None),
        "problems": severities.count("problem"),
        "warnings": severities.count("warning"),
    }


def compared_flow_figure(models: Mapping[str, Diagnosis]) -> go.Figure:
    """Draw the mean gradient of the inputs as a share of the largest, a line for each model.

    It is there for models without recurrence, too, and takes all layers and directions together.
    """
    figure = go.Figure()
    for place, (name, found) in enumerate(models.items()):
        values = _relative(found["inputs"]["from_end"]["mean"])
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
    figure.update_yaxes(type="log", exponentformat="power", nticks=7, title="share of the largest")
    figure.update_xaxes(title="steps to the end")
    return figure


def _relative(values: Sequence[float | None]) -> list[float]:
    sizes = [value or 0.0 for value in values]
    largest = max(sizes, default=0.0)
    return [size / largest for size in sizes] if largest else sizes


def curve_of(name: str, history: Sequence[Mapping[str, Any]]) -> Curve:
    """Return the learning curve of a run's history."""
    columns = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    return Curve(name, *([epoch[column] for epoch in history] for column in columns))
