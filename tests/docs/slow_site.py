"""The strict build fails for everything that is broken on a page, and the built site has every public name.

`make docs-test` runs this file, with Sphinx installed, after `make docs`.
"""

import os
import subprocess
import sys

import pytest
from site_tools.public import by_package
from site_tools.reference import page_of
from sphinx.util.inventory import InventoryFile

from tests.docs.pages import DOCS, ROOT

SITE = ROOT / "build" / "docs"
BROKEN = {
    "page": ("[x](missing.md)", "missing.md"),
    "anchor": ("[x](other.md#no-such-section)", "no-such-section"),
    "file": ("[x](../benchmarks/missing.py)", "missing.py"),
    "picture": ("![x](missing.svg)", "missing.svg"),
    "name": ("`tt.nn.LTSM`", "there is no tt.nn.LTSM"),
    "reference": ("{py:class}`tt.nn.LTSM`", "LTSM"),
    "torch": ("{py:class}`torch.nn.LTSM`", "torch.nn.LTSM"),
    "live": ("{live}`x <missing>`", "no live page 'missing'"),
    "equation": ("$\\nosuchcommand{x}$", "nosuchcommand"),
    "orphan": ("A page in no table of contents.", "orphan"),
}


@pytest.fixture(scope="module")
def warnings_of_broken_pages(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("site")
    pages = "\n".join(name for name in BROKEN if name != "orphan")
    (folder / "index.md").write_text(f"# Index\n\n```{{toctree}}\n{pages}\nother\n```\n")
    (folder / "other.md").write_text(
        "# Other\n\nRight: [x](index.md#index), `tt.nn.LSTM`, $a_b$, {live}`x <recurrence>`.\n"
    )
    for name, (text, _) in BROKEN.items():
        (folder / f"{name}.md").write_text(f"# {name}\n\n{text}\n")
    options = ["--fail-on-warning", "--nitpicky", "--keep-going", "--quiet", "-c", DOCS]
    build = [sys.executable, "-m", "sphinx", *options, folder, folder / "build"]
    done = subprocess.run(
        build, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )
    assert done.returncode
    return done.stderr


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_fails_the_build(name: str, warnings_of_broken_pages: str) -> None:
    lines = [line for line in warnings_of_broken_pages.splitlines() if f"{name}.md" in line]
    assert any(BROKEN[name][1] in line for line in lines), warnings_of_broken_pages


def test_a_page_without_faults_has_no_warning(warnings_of_broken_pages: str) -> None:
    assert "other.md:" not in warnings_of_broken_pages


def test_the_built_site_has_every_public_name() -> None:
    with (SITE / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda _base, path: path)
    entries = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    names = {f"{package}.{name}" for package, names in by_package().items() for name in names}
    assert names <= entries
    for package, public in by_package().items():
        for name in public:
            assert (SITE / "api" / f"{page_of(package, name)}.html").exists()


def test_the_site_needs_no_network() -> None:
    """Scripts, styles, fonts and pictures are files of the site."""
    for path in SITE.rglob("*.html"):
        text = path.read_text("utf-8")
        assert '<script src="http' not in text, path.name
        assert '<link rel="stylesheet" type="text/css" href="http' not in text, path.name
        assert '<img src="http' not in text, path.name


def test_the_search_has_titles_of_the_names() -> None:
    index = (SITE / "searchindex.js").read_text("utf-8")
    assert '"api/throughtime.nn.LSTM"' in index
