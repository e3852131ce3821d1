"""One self-contained HTML page from the content of a report, which loads nothing from the network."""

import os
from importlib import resources
from pathlib import Path

import jinja2
import plotly.graph_objects as go
import plotly.offline

from throughtime.report._content import ReportContent
from throughtime.report._figures import accuracy_figure, learning_figure
from throughtime.report._style import on_page


def render(content: ReportContent) -> str:
    """Return the page as HTML."""
    environment = jinja2.Environment(autoescape=True, finalize=on_page, undefined=jinja2.StrictUndefined)
    environment.filters["thousands"] = _thousands
    template = resources.files("throughtime.report").joinpath("page.html.jinja").read_text("utf-8")
    figures = {"accuracy": _embed(accuracy_figure(content.models), "accuracy")}
    if any(curve.train for curve in content.curves):
        figures["learning"] = _embed(learning_figure(content.curves), "learning")
    script = plotly.offline.get_plotlyjs()
    return environment.from_string(template).render(content=content, figures=figures, script=script)


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page to a temporary file beside ``path`` and rename it, so the replacement is atomic."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(render(content), encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105 - atomic, as Path.replace


def _embed(figure: go.Figure, name: str) -> str:
    html: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure-{name}",
        config={"responsive": True, "displayModeBar": False},
    )
    return html


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
