"""What all pages share: templates, figures as HTML, and the atomic writing of a page."""

import html
import os
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.offline
from markupsafe import Markup

from throughtime.report._numbers import duration, number, whole
from throughtime.report._style import ColourLegend, on_page

# Figures are drawn for the width of the window; before printing they are drawn for that of a sheet.
_PRINTING = """
for (const [event, width] of [["beforeprint", "44rem"], ["afterprint", ""]])
  addEventListener(event, () => {
    document.querySelector("main").style.maxWidth = width;
    document.querySelectorAll(".js-plotly-plot").forEach(figure => Plotly.Plots.resize(figure));
  });
"""
_COLOURS = Markup(
    '<p class="colours"><span>{legend.low}</span>'
    '<span class="scale" style="background: linear-gradient(to right, {legend.colours})"></span>'
    "<span>{legend.high}</span> <span>{legend.title}</span></p>"
)


class Page:
    """One page: a template and its figures, numbered in the order in which they are embedded."""

    def __init__(self) -> None:
        self._figures = 0
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("throughtime.report", ""),
            autoescape=True,
            finalize=on_page,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"number": number, "whole": whole, "duration": duration}

    @property
    def filters(self) -> dict[str, Any]:
        """Filters of the template by name."""
        return self._environment.filters

    def embed(self, figure: go.Figure, legend: ColourLegend | None = None) -> Markup:
        """Return a figure as HTML that needs the script of the page, below the legend of its colours."""
        self._figures += 1
        drawing = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{self._figures}",
            config={"responsive": True, "displayModeBar": False},
        )
        return Markup('{}<div class="figure" role="img" aria-label="{}">{}</div>').format(
            "" if legend is None else _COLOURS.format(legend=legend),
            _described(figure),
            Markup(drawing),  # noqa: S704 - HTML written by plotly
        )

    def render(self, template: str, **content: Any) -> str:
        """Return the page as HTML."""
        script = Markup(plotly.offline.get_plotlyjs() + _PRINTING)  # noqa: S704 - the library, and ours
        return self._environment.get_template(template).render(script=script, **content)


def _described(figure: go.Figure) -> str:
    """Return what a figure shows, from the titles of its axes."""
    axes = [*figure.select_yaxes(), *figure.select_xaxes()]
    titles = dict.fromkeys(html.unescape(axis.title.text) for axis in axes if axis.title.text)
    return "Plot: " + ", ".join(titles)


def write_page(path: Path, page: str) -> None:
    """Write a page to a temporary file beside ``path`` and rename it, so the replacement is atomic."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(page, encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105 - atomic, as Path.replace
