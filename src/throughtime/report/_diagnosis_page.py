"""One self-contained page for the diagnoses of one or several models."""

import math
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.offline
from markupsafe import Markup

from throughtime.report._diagnosis_figures import (
    clipping_figure,
    flow_over_training_figure,
    gates_figure,
    gradient_flow_figure,
    input_gradient_figure,
    lyapunov_figure,
    prediction_figure,
    recency_figure,
    spectrum_figure,
)
from throughtime.report._figures import learning_figure
from throughtime.report._overview import compared_flow_figure, curve_of, overview_rows
from throughtime.report._quality_figures import calibration_figure, confusion_figure
from throughtime.report._style import on_page, transparent


def render_diagnoses(title: str, question: str, models: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    title, question : str
        Above everything.
    models : mapping of str to mapping
        Names, and what `throughtime.diagnose.diagnose` returned of each.
    """
    environment = jinja2.Environment(autoescape=True, finalize=on_page, undefined=jinja2.StrictUndefined)
    template = resources.files("throughtime.report").joinpath("diagnosis.html.jinja").read_text("utf-8")
    count = 0

    def embed(figure: go.Figure) -> Markup:
        nonlocal count
        count += 1
        html = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{count}",
            config={"responsive": True, "displayModeBar": False},
        )
        return Markup(html)  # noqa: S704 - plotly's own, with our numbers in it

    overview = _overview(models, embed)
    sections = [_section(name, found, embed) for name, found in models.items()]
    return environment.from_string(template).render(
        title=title,
        question=question,
        overview=overview,
        sections=sections,
        script=Markup(plotly.offline.get_plotlyjs()),  # noqa: S704
    )


def write_diagnoses(path: Path, title: str, question: str, models: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the page beside ``path``, then put it in place; see `render_diagnoses`."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(render_diagnoses(title, question, models), encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105 - atomic, and the same as Path.replace


def _overview(models: Mapping[str, Mapping[str, Any]], embed: Any) -> dict[str, Any]:
    several = len(models) > 1
    curves = [curve_of(name, found["history"]) for name, found in models.items() if found.get("history")]
    return {
        "rows": overview_rows(models),
        "flow": embed(compared_flow_figure(models)) if several else None,
        "learning": embed(learning_figure(curves)) if several and curves else None,
    }


def _section(name: str, found: Mapping[str, Any], embed: Any) -> dict[str, Any]:
    return {
        "name": name,
        "findings": found["findings"],
        "gradient_problems": any(finding["about"] == "gradients" for finding in found["findings"]),
        "inputs": embed(input_gradient_figure(found["inputs"])),
        "gradient_norms": found["gradient_norms"],
        "no_bag_of_words": (found.get("quality") or {}).get("no_bag_of_words"),
        "quality": _quality(found["quality"], embed) if "confusion" in (found.get("quality") or {}) else None,
        "learning": embed(learning_figure([curve_of(name, found["history"])]))
        if found.get("history")
        else None,
        "layers": [
            {
                "name": _where(layer),
                "figure": embed(gradient_flow_figure(layer)),
                "saturation": layer["saturation"],
            }
            for layer in found["layers"]
        ],
        "training": [
            {"name": _where(layer), "figure": embed(flow_over_training_figure(found["training"], place))}
            for place, layer in enumerate(found["training"][0]["layers"])
        ]
        if found.get("training")
        else [],
        "clipping": embed(clipping_figure(found["norms"], found["clip"])) if found.get("norms") else None,
        "spectrum": embed(spectrum_figure(found["spectrum"])) if found["spectrum"] else None,
        "blocks": found["spectrum"],
        "predictions": [
            {"name": _where(one), "figure": embed(prediction_figure(one))}
            for one in found["spectrum"]
            if one.get("prediction")
        ],
        "lyapunov": embed(lyapunov_figure(found["lyapunov"])) if found["lyapunov"] else None,
        "recency": embed(recency_figure(found["recency"])),
        "recency_cut": _cut(found["recency"]["mean"]),
        "examples": [
            {
                "words": _coloured(example),
                "gates": [
                    {"name": layer, "figure": embed(gates_figure(example, layer))}
                    for layer in example["gates"]
                ],
            }
            for example in found["examples"]
        ],
    }


def _cut(shares: Sequence[float | None]) -> int | None:
    """Return how many steps are shown, where there are more that count."""
    return len(shares) if 0 < math.fsum(share or 0.0 for share in shares) < 0.999 else None


def _quality(found: Mapping[str, Any], embed: Any) -> dict[str, Any]:
    return {
        "accuracy": found["accuracy"],
        "rows": found.get("rows"),
        "bag_of_words": found.get("bag_of_words"),
        "error": found["calibration_error"],
        "confusion": embed(confusion_figure(found)),
        "calibration": embed(calibration_figure(found)),
        "examples": found["examples"],
    }


def _where(layer: Mapping[str, Any]) -> str:
    return f"{layer['name']}, reading from the {'end' if layer['direction'] else 'start'}"


def _coloured(example: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    """Return each token, its colour, and its score: orange raises the outcome, blue lowers it."""
    scores = [score or 0.0 for score in example["influence"]]
    largest = max((abs(score) for score in scores), default=0.0) or 1.0
    return [
        (
            token,
            transparent("#D55E00" if score > 0 else "#0072B2", round(0.75 * abs(score) / largest, 3)),
            f"{score:+.3g}",
        )
        for token, score in zip(example["tokens"], scores, strict=False)
    ]
