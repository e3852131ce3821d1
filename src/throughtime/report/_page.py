"""One self-contained HTML page from the content of a report, which loads nothing from the network."""

from pathlib import Path

from throughtime.report._content import ReportContent
from throughtime.report._figures import accuracy_figure, learning_figure
from throughtime.report._html import Page, write_page


def render(content: ReportContent) -> str:
    """Return the page as HTML."""
    page = Page()
    page.filters["thousands"] = _thousands
    figures = {"accuracy": page.embed(accuracy_figure(content.models))}
    if any(curve.train for curve in content.curves):
        figures["learning"] = page.embed(learning_figure(content.curves))
    return page.render("page.html.jinja", content=content, figures=figures)


def write_report(content: ReportContent, path: Path) -> None:
    """Write the page to a temporary file beside ``path`` and rename it, so the replacement is atomic."""
    write_page(path, render(content))


def _thousands(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
