"""The fixtures for pages in a browser: what they count as an error, the window, and other tests' event loops."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.browser import PHONE, PageAt


def _page(script: str = "", body: str = "") -> str:
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return f"<!doctype html><html><head>{viewport}</head><body>{body}<script>{script}</script></body></html>"


def test_width_and_colour_scheme_are_those_asked_for(page_at: PageAt, tmp_path: Path) -> None:
    page = page_at(PHONE, "dark").show(_page(), tmp_path)
    assert page.evaluate("innerWidth") == 390
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (
        not page_at().show(_page(), tmp_path).evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    )


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("console.error('wrong', 3)", "console: wrong 3"),
        ("throw new Error('thrown')", "exception: thrown"),
        ("new Image().src = 'missing.png'", "request: "),
        ("fetch('https://example.org/').catch(() => 0)", "request: https://example.org/"),
    ],
)
def test_errors_are_collected(script: str, error: str, page_at: PageAt, tmp_path: Path) -> None:
    opened = page_at()
    page = opened.show(_page(script), tmp_path)
    page.wait_for_timeout(100)
    assert any(line.startswith(error) for line in opened.errors), opened.errors
    opened.errors.clear()


def test_overflow_is_the_part_beyond_the_window(page_at: PageAt, tmp_path: Path) -> None:
    opened = page_at(PHONE)
    opened.show(_page(body="<div style='position: absolute; left: 0; width: 420px'>wide</div>"), tmp_path)
    assert opened.overflow == 30
    opened.show(_page(body="narrow"), tmp_path)
    assert opened.overflow == 0


def test_other_tests_may_run_event_loops(browser: Any) -> None:
    async def three() -> int:
        return 3

    assert asyncio.run(three()) == 3
