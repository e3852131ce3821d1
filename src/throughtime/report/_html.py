"""What all pages share: templates, figures as HTML, and the atomic writing of a page."""

import os
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.offline
from markupsafe import Markup

from throughtime.report._style import on_page


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

    @property
    def filters(self) -> dict[str, Any]:
        """Filters of the template by name."""
        return self._environment.filters

    def embed(self, figure: go.Figure) -> Markup:
        """Return a figure as HTML that needs the script of the page."""
        self._figures += 1
        html = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"figure-{self._figures}",
            config={"responsive": True, "displayModeBar": False},
        )
        return Markup(html)  # noqa: S704 - HTML written by plotly

    def render(self, template: str, **content: Any) -> str:
        """Return the page as HTML."""
        script = Markup(plotly.offline.get_plotlyjs())  # noqa: S704 - the library itself
        return self._environment.get_template(template).render(script=script, **content)


def write_page(path: Path, html: str) -> None:
    """Write a page to a temporary file beside ``path`` and rename it, so the replacement is atomic."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(html, encoding="utf-8")
    os.replace(beside, path)  # noqa: PTH105 - atomic, as Path.replace
