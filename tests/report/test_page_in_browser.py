"""All pages in a browser: faults are seen, colours follow the reader's choice, and a sheet of paper is filled."""

from pathlib import Path

import plotly.graph_objects as go
import plotly.offline
import pytest
from markupsafe import Markup

from tests.browser import PHONE, PageAt
from throughtime.report._class_figures import CONFUSION_COLOURS, confusion_figure
from throughtime.report._html import _PRINTING, Page
from throughtime.report._style import layout
from throughtime.report._view_figures import counts_figure, roc_figure
from throughtime.tasks.views import RocCurve

from .browser import flaws

_SHELL = """<!doctype html><html><head><meta name="viewport" content="width=device-width">
<style>{% include "style.css.jinja" %}</style><script>{{ script }}</script></head>
<body><main>{{ content }}</main></body></html>"""


def _page(*parts: str) -> str:
    """Return a page with the style and the script of all pages."""
    script = Markup(plotly.offline.get_plotlyjs() + _PRINTING)
    return Page()._environment.from_string(_SHELL).render(script=script, content=Markup("".join(parts)))


def _faulty() -> go.Figure:
    figure = go.Figure([go.Scatter(x=[1, 2], y=[90, 120], name="a curve"), go.Scatter(x=[1, 2], y=[1, 2])])
    figure.update_layout(layout(300), legend={"y": 0.5, "yanchor": "middle"})
    figure.update_yaxes(title="share in %")
    return figure


def test_the_check_sees_what_is_wrong(page_at: PageAt, tmp_path: Path) -> None:
    opened = page_at(PHONE)
    page = Page()
    curve, heat = page.embed(_faulty()), page.embed(confusion_figure(("a", "b"), ((3, 1), (0, 4))))
    text = '<p>130 % of <span style="display: inline-block; width: 500px">all</span></p>'
    opened.show(_page(text, curve, heat), tmp_path)
    found = flaws(opened)
    assert found["too_wide"] > 100
    assert ["figure-1", "xaxis"] in found["untitled"]
    assert "130 %" in found["beyond"]
    assert ["figure-1", "share in %", "120"] in found["beyond"]
    assert found["legends"] == ["figure-1"]
    assert found["uncoloured"] == ["figure-2"]


@pytest.mark.parametrize(("scheme", "text", "page_colour"), [
    ("light", "rgb(27, 31, 36)", "rgb(255, 255, 255)"),
    ("dark", "rgb(228, 232, 236)", "rgb(16, 20, 24)"),
])  # fmt: skip
def test_figures_follow_the_colours_of_the_page(
    scheme: str, text: str, page_colour: str, page_at: PageAt, tmp_path: Path
) -> None:
    opened = page_at(1280, scheme)
    embedded = Page().embed(roc_figure(RocCurve((0.0, 0.1, 1.0), (0.0, 0.8, 1.0))))
    page = opened.show(_page(embedded), tmp_path)
    style = "(element, name) => getComputedStyle(element)[name]"
    for part in (".xtick text", ".ytitle", ".legendtext"):
        assert page.locator(part).first.evaluate(style, "fill") == text
    assert page.locator("body").evaluate(style, "backgroundColor") == page_colour


def test_a_wide_figure_becomes_a_narrow_one_with_the_window(page_at: PageAt, tmp_path: Path) -> None:
    opened = page_at(1280)
    page = opened.show(_page(Page().embed(counts_figure({"test": {"a": 3, "b": 5}}))), tmp_path)
    page.set_viewport_size({"width": PHONE, "height": 800})
    page.wait_for_function("document.querySelector('.main-svg').getBoundingClientRect().width < 390")
    assert flaws(opened) == {}


def test_on_paper_figures_have_the_width_of_the_sheet(page_at: PageAt, tmp_path: Path) -> None:
    opened = page_at(1280)
    embedded = Page().embed(confusion_figure(("a", "b"), ((3, 1), (0, 4))), CONFUSION_COLOURS)
    page = opened.show(_page(embedded), tmp_path)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.querySelector('.main-svg').getBoundingClientRect().width <= 704")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function("document.querySelector('.main-svg').getBoundingClientRect().width > 900")
