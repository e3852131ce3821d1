"""Pages in a real browser: the fixtures `browser`, `page_at` and `shared_page_at`, and what a page shows.

A test that asks for one of them is skipped where Playwright or a browser is missing. The browser is Chromium from
`$CHROMIUM`, or from the path; Playwright's own downloads are not used.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route

Scheme = Literal["light", "dark"]
WIDE, PHONE = 1280, 390
"""Widths of windows in CSS pixels."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LOCAL = ("127.0.0.1", "localhost")


@dataclass
class OpenPage:
    """A page of its own browser context, and what went wrong in it.

    Parameters
    ----------
    page : playwright.sync_api.Page
        To be operated: ``page.click``, ``page.fill``, ``page.keyboard``, ``page.evaluate``.
    errors : list of str
        Errors of the console, uncaught exceptions, failed requests, and requests to other hosts. A test fails at
        its end if any are left.
    """

    page: "Page"
    errors: list[str] = field(default_factory=list)

    def open(self, path: Path) -> "Page":
        """Load a file of this machine, and return the page when its scripts have run and its fonts are there."""
        self.page.goto(path.resolve().as_uri(), wait_until="load")
        self.page.evaluate("() => document.fonts.ready.then(() => true)")
        return self.page

    def show(self, html: str, folder: Path) -> "Page":
        """Write a page to ``page.html`` in a folder and load it."""
        file = folder / "page.html"
        file.write_text(html, encoding="utf-8")
        return self.open(file)

    @property
    def overflow(self) -> int:
        """Number of pixels by which the page is wider than the window."""
        wide: int = self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        return max(0, wide)


PageAt = Callable[..., OpenPage]
"""``page_at(width=1280, scheme="light", height=900)`` returns an empty `OpenPage`."""


@dataclass(frozen=True)
class _Running:
    """A browser, and the event loop that Playwright runs in this thread."""

    browser: "Browser"
    loop: Any


@pytest.fixture(scope="session")
def browser() -> Iterator[_Running]:
    """One browser for all tests of a process."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed; install the packages of requirements.txt"
    )
    executable = _executable()
    with playwright.sync_playwright() as started:
        try:
            launched = started.chromium.launch(executable_path=executable, args=["--disable-gpu"])
        except playwright.Error as error:
            if "CHROMIUM" in os.environ:
                raise
            pytest.skip(f"{executable} does not run here: {str(error).splitlines()[0]}")
        loop = asyncio._get_running_loop()
        # Playwright's loop runs as long as it is open; without this, asyncio.run would be refused in other tests.
        with _running_loop(None):
            yield _Running(launched, loop)
        launched.close()


@pytest.fixture
def page_at(browser: _Running) -> Iterator[PageAt]:
    """Return a function that opens an empty page: ``page_at(390, "dark")``."""
    yield from _pages(browser)


@pytest.fixture(scope="module")
def shared_page_at(browser: _Running) -> Iterator[PageAt]:
    """Return what `page_at` returns, for a page that the tests of a module share."""
    yield from _pages(browser)


def _executable() -> str:
    if "CHROMIUM" in os.environ:
        return os.environ["CHROMIUM"]
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium on the path; install one, or set CHROMIUM to its file")
    return found


@contextmanager
def _running_loop(loop: Any) -> Iterator[None]:
    """Set the event loop that counts as running in this thread."""
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)


def _pages(running: _Running) -> Iterator[PageAt]:
    opened: list[OpenPage] = []

    def page_at(width: int = WIDE, scheme: Scheme = "light", height: int = 900) -> OpenPage:
        context = running.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        opened.append(_watched(context.new_page()))
        return opened[-1]

    with _running_loop(running.loop):
        yield page_at
        for each in opened:
            each.page.context.close()
    assert [error for each in opened for error in each.errors] == []


def _watched(page: "Page") -> OpenPage:
    """Collect the errors of a page, and refuse its requests to other machines."""
    opened = OpenPage(page)

    def on_console(message: "ConsoleMessage") -> None:
        if message.type == "error":
            opened.errors.append(f"console: {message.text}")

    def on_failed(request: "Request") -> None:
        opened.errors.append(f"request: {request.url[:200]}: {request.failure}")

    def on_route(route: "Route") -> None:
        address = urlsplit(route.request.url)
        if address.scheme in {"http", "https"} and address.hostname not in _LOCAL:
            route.abort()  # reported as a failed request
        else:
            route.continue_()

    page.on("console", on_console)
    page.on("pageerror", lambda error: opened.errors.append(f"exception: {error}"))
    page.on("requestfailed", on_failed)
    page.route("**/*", on_route)
    return opened
