"""The overview of a page of diagnoses: a table of the models, and a figure that compares them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from throughtime.report._axes import log_axis
from throughtime.report._run_diagnosis import ClassifierQuality, RunDiagnosis
from throughtime.report._style import COLOURS, in_figure, layout

_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class OverviewRow:
    """One model in the table of models; None where a value is not known."""

    name: str
    accuracy: float | None
    bag_accuracy: float | None
    """Of the bag of words."""
    loss: float
    bag_loss: float | None
    parameters: int | None
    exponent: float | None
    """Largest Lyapunov exponent."""
    problems: int
    """Number of findings that are problems."""
    warnings: int


def overview_rows(models: Mapping[str, RunDiagnosis]) -> list[OverviewRow]:
    """Return a row for each model: its quality, its size, and the number of its findings."""
    return [_row(name, model) for name, model in models.items()]


def _row(name: str, run: RunDiagnosis) -> OverviewRow:
    quality, diagnosis = run.quality, run.diagnosis
    severities = [finding.severity for finding in diagnosis.findings]
    exponents = [layer.exponents[0] for layer in diagnosis.lyapunov if layer.exponents]
    bag = quality.bag_of_words if isinstance(quality, ClassifierQuality) else None
    return OverviewRow(
        name=name,
        accuracy=None if quality is None else quality.accuracy,
        bag_accuracy=None if bag is None else bag.accuracy,
        loss=diagnosis.loss if quality is None else quality.loss,
        bag_loss=None if bag is None else bag.loss,
        parameters=run.parameters,
        exponent=max((exponent for exponent in exponents if exponent is not None), default=None),
        problems=severities.count("problem"),
        warnings=severities.count("warning"),
    )


def compared_flow_figure(models: Mapping[str, RunDiagnosis]) -> go.Figure:
    """Draw the mean gradient of the inputs as a fraction of the largest, a line for each model.

    Models without recurrence have it, too; all layers and directions are taken together.
    """
    figure = go.Figure()
    for number, (name, model) in enumerate(models.items()):
        values = _relative(model.diagnosis.inputs.from_end.mean)
        figure.add_trace(
            go.Scatter(
                x=list(range(len(values))),
                y=[value if value > 0 else None for value in values],
                name=in_figure(name),
                mode="lines",
                line={
                    "color": COLOURS[number % len(COLOURS)],
                    "dash": _DASHES[number // len(COLOURS) % len(_DASHES)],
                    "width": 2,
                },
                hovertemplate="%{x} steps: %{y:.3g}<extra></extra>",
            )
        )
    figure.update_layout(layout(360 + 22 * len(models)))
    drawn = [value for trace in figure.data for value in trace.y]
    figure.update_yaxes(log_axis("‖∂L/∂x‖ ÷ its largest mean", drawn))
    figure.update_xaxes(title="steps before the end of the sequence")
    return figure


def _relative(values: Sequence[float | None]) -> list[float]:
    sizes = [value or 0.0 for value in values]
    largest = max(sizes, default=0.0)
    return [size / largest for size in sizes] if largest else sizes
