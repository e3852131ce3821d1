"""The live pages, opened from the file system."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import WIDE, PageAt, Scheme

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGES = ("convolution", "recurrence")
ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("THROUGHTIME_LIVE", ROOT / "build" / "live"))


@pytest.fixture(scope="module")
def live_page(shared_page_at: PageAt) -> Callable[..., "Page"]:
    """``live_page("convolution", width=1280, scheme="light")`` opens a page and waits until it is drawn."""

    def opened(name: str, width: int = WIDE, scheme: Scheme = "light") -> "Page":
        file = FOLDER / f"{name}.html"
        if not file.exists():
            pytest.skip(f"there is no {name}.html; `make live` builds it, if npm is installed")
        page = shared_page_at(width, scheme).open(file)
        page.wait_for_function("document.body.dataset.ready", timeout=120_000)
        return page

    return opened


def number(page: "Page", section: str, name: str) -> float:
    """Return a number of a section with all its digits."""
    shown = page.locator(f'#{section} data[data-name="{name}"]').first.get_attribute("value")
    assert shown is not None
    return float(shown)


def numbers(page: "Page", section: str, prefix: str) -> dict[str, float]:
    """Return the numbers of a section whose names begin with a prefix."""
    script = """([section, prefix]) => Object.fromEntries(
        [...document.querySelectorAll(`#${section} data[data-name^="${prefix}"]`)]
        .map((each) => [each.dataset.name, Number(each.getAttribute("value"))]))"""
    shown: dict[str, float] = page.evaluate(script, [section, prefix])
    return shown
