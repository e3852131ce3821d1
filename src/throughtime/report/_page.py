"""One self-contained HTML page from the content of a report, which loads nothing from the network."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from throughtime.report._content import ReportContent
from throughtime.report._figures import accuracy_figure, learning_figure
from throughtime.report._html import Page, write_page
from throughtime.report._network_content import NetworkViews
from throughtime.report._network_figures import (
    filters_figure,
    gates_around_figure,
    gradients_figure,
    groups_figure,
    influence_figure,
    lengths_figure,
)
from throughtime.report._style import COLOURS, transparent


def render(content: ReportContent) -> str:
    """Return the page as HTML."""
    page = Page()
    page.filters["thousands"] = _thousands
    figures = {"accuracy": page.embed(accuracy_figure(content.models))}
    if any(curve.train for curve in content.curves):
        figures["learning"] = page.embed(learning_figure(content.curves))
    if content.networks is not None:
        figures |= _network_figures(page, content.networks)
    return page.render("page.html.jinja", content=content, figures=figures, shade=shade)


def _network_figures(page: Page, networks: NetworkViews) -> dict[str, Markup]:
    figures = {
        "groups": groups_figure(networks.mistakes),
        "lengths": lengths_figure(networks.mistakes),
        "filters": filters_figure(networks.convolutions),
        "gates": gates_around_figure(networks.recurrence.directions),
        "gradients": gradients_figure(networks.recurrence.gradients),
        "influence": influence_figure(networks.influence),
    }
    return {name: page.embed(figure) for name, figure in figures.items()}


def shade(score: float, scores: Sequence[float]) -> str:
    """Return the colour of a token: orange speaks for the second class, blue for the first.

    Examples
    --------
    >>> shade(0.5, [0.5, -1.0]), shade(-1.0, [0.5, -1.0]), shade(0.0, [0.0])
    ('rgba(213,94,0,0.3)', 'rgba(0,114,178,0.6)', 'rgba(213,94,0,0.0)')
    """
    strength = abs(score) / (max(map(abs, scores)) or 1.0)
    return transparent(COLOURS[1] if score >= 0 else COLOURS[0], round(0.6 * strength, 3))


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page to a temporary file beside ``path`` and rename it, so the replacement is atomic."""
    write_page(path, render(content))


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
