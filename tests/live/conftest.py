"""The live pages in a browser: `live_page` opens one, `Section` operates a part of it and reads its numbers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import OpenPage, PageAt

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parents[2]
PAGES = ("convolution", "recurrence")
FOLDER = Path(os.environ.get("THROUGHTIME_LIVE", ROOT / "build" / "live"))
"""Where ``make live`` writes the pages."""

LivePage = Callable[..., OpenPage]

_VALUES = """(section, name) => [...section.querySelectorAll("data")]
    .filter((each) => each.dataset.name === name || each.dataset.name?.startsWith(name + "["))
    .map((each) => Number(each.value))"""


@dataclass(frozen=True)
class Section:
    """A section of a page, by its id."""

    page: "Page"
    id: str

    @property
    def root(self) -> "Locator":
        """The section's element."""
        return self.page.locator(f"section#{self.id}")

    def numbers(self, name: str) -> list[float]:
        """Return the numbers called ``name`` or ``name[…]``, in the page's order, with all their digits."""
        numbers: list[float] = self.root.evaluate(_VALUES, name)
        return numbers

    def named(self, prefix: str) -> dict[str, float]:
        """Return the numbers whose names begin with a prefix, by name."""
        script = """(section, prefix) => Object.fromEntries([...section.querySelectorAll("data[data-name]")]
            .filter((each) => each.dataset.name.startsWith(prefix))
            .map((each) => [each.dataset.name, Number(each.value)]))"""
        numbers: dict[str, float] = self.root.evaluate(script, prefix)
        return numbers

    def number(self, name: str) -> float:
        """Return the number called ``name``."""
        (number,) = self.numbers(name)
        return number

    def slide(self, label: str, value: float) -> None:
        """Move a slider."""
        self.root.get_by_label(label, exact=True).fill(str(value))

    def step(self, label: str, key: str) -> None:
        """Press a key on a slider, such as ArrowRight."""
        self.root.get_by_label(label, exact=True).press(key)

    def choose(self, label: str, option: str) -> None:
        """Choose an option by its value."""
        self.root.get_by_label(label, exact=True).select_option(option)

    def switch(self, label: str, *, on: bool) -> None:
        """Tick a checkbox or clear it."""
        self.root.get_by_label(label, exact=True).set_checked(on)

    def press(self, label: str) -> None:
        """Press a button."""
        self.root.get_by_role("button", name=label, exact=True).click()

    def signal(self, label: str) -> list[float]:
        """Return the values of a drawn signal."""
        return [float(each.get_attribute("aria-valuenow") or 0) for each in self.handles(label).all()]

    def handles(self, label: str) -> "Locator":
        """Return the handles of a drawn signal."""
        return self.root.get_by_role("group", name=label, exact=True).get_by_role("slider")


@pytest.fixture(scope="module")
def live_page(shared_page_at: PageAt) -> LivePage:
    """Return a function that opens a page: ``live_page("convolution", width=390, scheme="dark")``."""

    def opened(name: str, **options: object) -> OpenPage:
        file = FOLDER / f"{name}.html"
        if not file.exists():
            pytest.skip(f"{name}.html is missing; `make live` builds it, if npm is installed")
        live = shared_page_at(**options)
        live.open(file).wait_for_function("document.body.dataset.ready", timeout=120_000)
        return live

    return opened
