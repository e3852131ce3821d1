"""A page in a browser: texts that overlap, figures that are empty, and whether the page is too wide."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Texts of a figure that overlap, figures without a drawn mark, and whether the page is wider than the window.
_LOOK = """
<script>
window.addEventListener("load", () => setTimeout(() => {
  const found = {overlaps: [], empty: [], wide: document.documentElement.scrollWidth - window.innerWidth};
  for (const plot of document.querySelectorAll(".plotly-graph-div")) {
    const marks = plot.querySelectorAll(".scatterlayer path, .barlayer path, .heatmaplayer image, .heatmaplayer path");
    if (![...marks].some(mark => mark.getBoundingClientRect().width > 0)) found.empty.push(plot.id);
    const texts = [...plot.querySelectorAll("svg text")].filter(t => t.textContent && t.getBoundingClientRect().width && t.checkVisibility({opacityProperty: true, visibilityProperty: true}));
    for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
      if (texts[i].contains(texts[j]) || texts[i].closest('[class$=tick]') && texts[j].closest('[class$=tick]')) continue;
      const a = texts[i].getBoundingClientRect(), b = texts[j].getBoundingClientRect();
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (x > 3 && y > 3) found.overlaps.push([plot.id, texts[i].textContent, texts[j].textContent]);
    }
  }
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify(found);
  document.body.appendChild(told);
}, 500));
</script>
"""

needs_browser = pytest.mark.skipif(
    _BROWSER is None, reason="no chromium on the path to look at the page with"
)


def flaws(page: str, width: int, folder: Path) -> dict[str, Any]:
    """Return what is wrong with a page in a window of this width; skip the test if no browser runs here."""
    file = folder / "page.html"
    file.write_text(page.replace("</body>", _LOOK + "</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            str(_BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'browser'}", "--virtual-time-budget=10000",
            f"--window-size={width},2000", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"the browser does not run here: {done.stderr.strip().splitlines()[-1:]}")
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told is not None, "the page did not get so far as to look at itself"
    found = json.loads(told[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return {"overlaps": found["overlaps"], "empty": found["empty"], "too_wide": found["wide"] > 0}
