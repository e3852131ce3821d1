"""README, CONTRIBUTING and docs: their Python examples run and print what they say, and their links and paths exist."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.compile(r"```python\n(.*?)```", re.DOTALL)
PAGES = [
    page
    for page in (README, *sorted((README.parent / "docs").rglob("*.md")))
    if EXAMPLES.search(page.read_text("utf-8"))
]


ROOT = README.parent
PROSE = (README, ROOT / "CONTRIBUTING.md")
WRITTEN = [
    README,
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "src").rglob("*.py")),
]


def test_nothing_is_installed_by_a_name_that_no_package_index_has() -> None:
    """Until there is a release, throughtime itself comes from a clone: ``pip install '.[learn]'``."""
    lines = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in WRITTEN
        for line in page.read_text("utf-8").splitlines()
        if re.search(r"pip install[^#:;]*\bthroughtime\b", line)
    ]
    assert lines == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_print_what_their_comments_say(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for code in EXAMPLES.findall(page.read_text("utf-8")):
        said = re.findall(r"print\(.*\)\s+# (.*)", code)
        exec(code, names)
        assert said
        assert capsys.readouterr().out.splitlines() == said
    if page == README:
        assert tuple(names["pooled"].shape) == (3, 64)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", sorted((README.parent / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_every_picture_is_drawn_by_the_library(tmp_path: Path) -> None:
    docs = README.parent / "docs"
    script = [sys.executable, docs / "pictures" / "draw.py", tmp_path]
    subprocess.run(script, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (docs / "convolution").glob("*.svg")
    )
    for path in tmp_path.iterdir():
        shapes = [element.tag.partition("}")[2] for element in ET.parse(path).iter()]
        assert len(shapes) > 20, path.name


def test_the_source_tree_lists_every_package() -> None:
    text = README.read_text("utf-8")
    packages = [path.name for path in (README.parent / "src" / "throughtime").iterdir() if path.is_dir()]
    for package in packages:
        if not package.startswith("_"):
            assert re.search(rf"^  {package}/ ", text, re.MULTILINE), package


@pytest.mark.parametrize("page", [*PROSE, *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name)
def test_paths_in_backticks_exist(page: Path) -> None:
    for path in re.findall(r"`((?:src|native|tests|docs|benchmarks)/[\w./]+)`", page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_every_file_of_the_source_tree_exists() -> None:
    tree = README.read_text("utf-8").partition("## Source tree")[2].split("```")[1]
    files = [path.as_posix() for path in ROOT.glob("[bdnst]*/**/*") if path.is_file()]
    for name in re.findall(r"[\w/]+\.(?:py|h|md)\b", tree):
        assert any(path.endswith("/" + name) for path in files), name
    for folder in re.findall(r"^ *(\w[\w/]*)/ ", tree, re.MULTILINE):
        assert any(f"/{folder}/" in path for path in files), folder
