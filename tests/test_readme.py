"""README, CONTRIBUTING and docs: commands of README run, and links and paths of all exist; see tests/docs for examples."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.docs.files import write_examples
from tests.docs.pages import blocks_of
from throughtime.cli import main

README = Path(__file__).parents[1] / "README.md"
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
        if re.search(r"pip install[^#:;]*(?<![\w/])throughtime\b", line)
    ]
    assert lines == []


def _lines_of(page: Path, command: str) -> list[str]:
    """Return the commands of a page in blocks without a language, except those that only show an option."""
    blocks = [block.text for block in blocks_of(page.read_text("utf-8")) if not block.language]
    return [line for block in blocks for line in block.splitlines() if line.startswith(command)]


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that train from tables, each with one epoch and at most two folds, and those that read the first run."""
    write_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = list(_lines_of(README, "throughtime train "))
    assert lines
    short = "--epochs 1 --no-baselines --quiet"
    others = [
        "throughtime predict runs/a new_reviews.csv",
        "throughtime compare runs/a --out compare.html",
    ]
    for line in [*(f"{line} {short}".replace("--folds 5", "--folds 2") for line in lines), *others]:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, line


@pytest.mark.parametrize("page", sorted((README.parent / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_every_picture_is_drawn_by_the_library(tmp_path: Path) -> None:
    docs = README.parent / "docs"
    script = [sys.executable, docs / "pictures" / "draw.py", tmp_path]
    subprocess.run(script, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for folder in ("convolution", "pictures") for path in (docs / folder).glob("*.svg")
    )
    for path in tmp_path.iterdir():
        shapes = [element.tag.partition("}")[2] for element in ET.parse(path).iter()]
        assert len(shapes) > 20, path.name


def test_the_source_tree_lists_every_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    packages = [path.name for path in (README.parent / "src" / "throughtime").iterdir() if path.is_dir()]
    for package in packages:
        if not package.startswith("_"):
            assert re.search(rf"^  {package}/ ", text, re.MULTILINE), package


@pytest.mark.parametrize("page", [*PROSE, *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name)
def test_paths_in_backticks_exist(page: Path) -> None:
    for path in re.findall(r"`((?:src|native|tests|docs|benchmarks)/[\w./]+)`", page.read_text("utf-8")):
        assert (ROOT / path).exists(), path


def test_every_file_of_the_source_tree_exists() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Source tree")[2].split("```")[1]
    files = [path.as_posix() for path in ROOT.glob("[bdnst]*/**/*") if path.is_file()]
    for name in re.findall(r"[\w/]+\.(?:py|h|md)\b", tree):
        assert any(path.endswith("/" + name) for path in files), name
    for folder in re.findall(r"^ *(\w[\w/]*)/ ", tree, re.MULTILINE):
        assert any(f"/{folder}/" in path for path in files), folder
