"""A browser for the live pages: skipped where Chromium, Playwright or the built page is missing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

FOLDER = Path(os.environ.get("THROUGHTIME_LIVE", Path(__file__).parents[2] / "build" / "live"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    executable = which("chromium") or which("chromium-browser")
    if executable is None:
        pytest.skip("no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def live_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open ``build/live/NAME.html`` and wait until its sections are drawn; errors are in ``page.errors``."""
    contexts = []

    def opened(name: str, width: int = 1280, scheme: str = "light") -> Any:
        file = FOLDER / f"{name}.html"
        if not file.exists():
            pytest.skip(f"no {file}: make live")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.errors = []
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_function("document.body.dataset.ready")
        return page

    yield opened
    for context in contexts:
        context.close()
