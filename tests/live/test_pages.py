"""What both live pages promise: all rows of the lecture, something to do for each, wide and narrow, light and dark."""

import functools
import re

import pytest

from tests.browser import PHONE, WIDE
from tests.live.conftest import FOLDER, PAGES, ROOT, LivePage

CONTROLS = "input, select, button, textarea, [role=slider]"


@pytest.fixture(scope="module")
def wide_page(live_page: LivePage) -> LivePage:
    """Return a function that opens each page once, wide and light, for tests that change nothing in it."""
    return functools.cache(live_page)


def test_every_row_of_the_lecture_has_a_section_with_something_to_do(wide_page: LivePage) -> None:
    """docs/lecture.md links exactly the sections that say so."""
    sections: dict[str, set[str]] = {}
    for name in PAGES:
        for section in wide_page(name).page.locator("section").all():
            address = f"{name}#{section.get_attribute('id')}"
            assert section.locator(CONTROLS).count() > 0, address
            for row in (section.get_attribute("data-rows") or "").split():
                sections.setdefault(row, set()).add(address)
    lines = re.findall(
        r"^\| ([CR]\d+) \|(.*)", (ROOT / "docs" / "lecture.md").read_text("utf-8"), re.MULTILINE
    )
    assert sections == {row: set(re.findall(r"\{live\}`[^`<]+<([^>]+)>`", line)) for row, line in lines}
    assert len(lines) == 23


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_its_window(
    name: str, width: int, scheme: str, live_page: LivePage, wide_page: LivePage
) -> None:
    opened = wide_page(name) if width == WIDE else live_page(name, width=width, scheme=scheme)
    for each in ("light" if scheme == "dark" else "dark", scheme):
        opened.page.emulate_media(color_scheme=each)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.locator(".error").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_every_plot_has_titles_on_both_axes_and_a_caption(name: str, wide_page: LivePage) -> None:
    page = wide_page(name).page
    plots = page.locator("figure:has(> .plot)")
    assert plots.count() > 0
    for plot in plots.all():
        caption = plot.locator("> figcaption").inner_text()
        assert caption
        assert plot.locator('svg [aria-label="x-axis label"]').count() > 0, caption
        assert plot.locator('svg [aria-label="y-axis label"]').count() > 0, caption


@pytest.mark.parametrize("address", ["convolution#text-cnn", "recurrence#classifier", "recurrence#lstm"])
def test_an_address_with_a_section_shows_it(address: str, wide_page: LivePage) -> None:
    """Sections above are drawn after the browser has scrolled; the section is at the top when all are drawn."""
    name, _, section = address.partition("#")
    page = wide_page(name).page
    page.goto("about:blank")
    page.goto(f"{(FOLDER / name).resolve().as_uri()}.html#{section}")
    page.wait_for_function("document.body.dataset.ready", timeout=120_000)
    page.wait_for_timeout(300)
    top = page.locator(f"section#{section}").evaluate("section => section.getBoundingClientRect().top")
    left = page.evaluate(
        "() => document.documentElement.scrollHeight - document.documentElement.clientHeight - scrollY"
    )
    assert 0 <= top <= 20 or left < 1


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_name(name: str, wide_page: LivePage) -> None:
    page = wide_page(name).page
    unnamed = page.evaluate(
        """(controls) => [...document.querySelectorAll(controls)].filter((each) =>
            !(each.labels?.length || each.getAttribute("aria-label") || each.textContent.trim()))
            .map((each) => each.outerHTML)""",
        CONTROLS,
    )
    assert unnamed == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_alone(name: str, wide_page: LivePage) -> None:
    """At most 25 MB, and no address but that of the other page."""
    wide_page(name)
    file = FOLDER / f"{name}.html"
    assert file.stat().st_size < 25e6
    head = file.read_text("utf-8").partition("</head>")[0]
    assert "<script" not in head
    assert 'rel="stylesheet"' not in head
