"""One self-contained HTML page for the diagnoses of one or several models."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from throughtime.diagnose import Diagnosis, ExampleDiagnosis, LayerDiagnosis, SpectrumSummary
from throughtime.report._class_figures import CONFUSION_COLOURS, calibration_figure, confusion_figure
from throughtime.report._curves import curve_of
from throughtime.report._diagnosis_figures import (
    GATE_COLOURS,
    block_name,
    clipping_figure,
    flow_over_training_figure,
    gates_figure,
    gradient_flow_figures,
    input_gradient_figures,
    lyapunov_figure,
    prediction_figure,
    recency_figure,
    spectrum_figure,
)
from throughtime.report._figures import learning_figure
from throughtime.report._html import Page, write_page
from throughtime.report._overview import compared_flow_figure, overview_rows
from throughtime.report._run_diagnosis import ClassifierQuality, NextStepQuality, RunDiagnosis
from throughtime.report._style import transparent
from throughtime.training import LayerGradients

_Embed = Callable[..., Markup]


def render_diagnoses(title: str, subtitle: str, models: Mapping[str, Diagnosis | RunDiagnosis]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title, subtitle : str
        Heads of the page.
    models : mapping of str to Diagnosis or RunDiagnosis
        Diagnoses by name of the model.
    """
    page = Page()
    runs = {
        name: RunDiagnosis(model) if isinstance(model, Diagnosis) else model for name, model in models.items()
    }
    overview = _overview(runs, page.embed)
    sections = [_section(name, run, page.embed) for name, run in runs.items()]
    return page.render(
        "diagnosis.html.jinja",
        title=title,
        subtitle=subtitle,
        overview=overview,
        sections=sections,
        block_name=block_name,
    )


def write_diagnoses(
    path: Path, title: str, subtitle: str, models: Mapping[str, Diagnosis | RunDiagnosis]
) -> None:
    """Write the page to a temporary file beside ``path`` and rename it; see `render_diagnoses`."""
    write_page(path, render_diagnoses(title, subtitle, models))


def _overview(models: Mapping[str, RunDiagnosis], embed: _Embed) -> dict[str, Any]:
    several = len(models) > 1
    curves = [curve_of(name, model.history) for name, model in models.items() if model.history]
    return {
        "rows": overview_rows(models),
        "flow": embed(compared_flow_figure(models)) if several else None,
        "learning": embed(learning_figure(curves)) if several and curves else None,
    }


def _section(name: str, run: RunDiagnosis, embed: _Embed) -> dict[str, Any]:
    diagnosis = run.diagnosis
    return {
        "name": name,
        "findings": diagnosis.findings,
        "no_problems": run.no_problems,
        "inputs": list(map(embed, input_gradient_figures(diagnosis.inputs))),
        "gradient_norms": diagnosis.gradient_norms,
        "no_bag_of_words": getattr(run.quality, "no_bag_of_words", None),
        "quality": _quality(run.quality, embed),
        "learning": embed(learning_figure([curve_of(name, run.history)])) if run.history else None,
        "layers": [
            {
                "name": _where(layer),
                "figures": list(map(embed, gradient_flow_figures(layer))),
                "saturation": layer.saturation,
            }
            for layer in diagnosis.layers
        ],
        "training": _training(run, embed),
        "clipping": embed(clipping_figure(run.norms, run.clip)) if run.norms else None,
        "spectrum": embed(spectrum_figure(diagnosis.spectrum)) if diagnosis.spectrum else None,
        "blocks": diagnosis.spectrum,
        "predictions": [
            {"name": _where(block), "figure": embed(prediction_figure(block))}
            for block in diagnosis.spectrum
            if block.prediction
        ],
        "horizons": diagnosis.horizons,
        "lyapunov": embed(lyapunov_figure(diagnosis.lyapunov)) if diagnosis.lyapunov else None,
        "recency": embed(recency_figure(diagnosis.recency)),
        "recency_cut": _cut(diagnosis.recency.mean),
        "examples": [
            {
                "words": _coloured(example),
                "gates": [
                    {"name": layer, "figure": embed(gates_figure(example, layer), GATE_COLOURS)}
                    for layer in example.gates
                ],
            }
            for example in diagnosis.examples
        ],
    }


def _training(run: RunDiagnosis, embed: _Embed) -> list[dict[str, Any]]:
    if not run.training:
        return []
    return [
        {"name": _where(layer), "figure": embed(*flow_over_training_figure(run.training, number))}
        for number, layer in enumerate(run.training[0].layers)
    ]


def _cut(fractions: Sequence[float | None]) -> int | None:
    """Return the number of steps shown, if those left out have any influence."""
    return len(fractions) if 0 < math.fsum(part or 0.0 for part in fractions) < 0.999 else None


def _quality(quality: ClassifierQuality | NextStepQuality | None, embed: _Embed) -> dict[str, Any] | None:
    if not isinstance(quality, ClassifierQuality):
        return None
    return {
        "accuracy": quality.accuracy,
        "rows": quality.rows,
        "bag_of_words": quality.bag_of_words,
        "error": quality.calibration_error,
        "confusion": embed(confusion_figure(quality.classes, quality.confusion), CONFUSION_COLOURS),
        "calibration": embed(calibration_figure(quality.calibration)),
        "examples": quality.examples,
    }


def _where(part: LayerDiagnosis | SpectrumSummary | LayerGradients) -> str:
    # In a training the model is a part of the Lightning module, whose names begin with its own.
    name = part.name.removeprefix("model.") if isinstance(part, LayerGradients) else part.name
    return f"{name}, reading from the {'end' if part.direction else 'start'}"


def _coloured(example: ExampleDiagnosis) -> Sequence[tuple[str, str, str]]:
    """Return each token, its colour and its score: orange raises the outcome, blue lowers it."""
    scores = [score or 0.0 for score in example.influence]
    largest = max((abs(score) for score in scores), default=0.0) or 1.0
    return [
        (
            token,
            transparent("#D55E00" if score > 0 else "#0072B2", round(0.75 * abs(score) / largest, 3)),
            f"{score:+.3g}",
        )
        for token, score in zip(example.tokens, scores, strict=False)
    ]
