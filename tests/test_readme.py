"""README, CONTRIBUTING and docs: their Python examples run and print what they say, and their links and paths exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from throughtime.cli import main

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
def test_the_examples_print_what_their_comments_say(
    page: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # README's writes a run
    names: dict[str, object] = {}
    for code in EXAMPLES.findall(page.read_text("utf-8")):
        said = re.findall(r"print\(.*\)\s+# (.*)", code)
        exec(code, names)
        assert said
        assert capsys.readouterr().out.splitlines() == said
    if page == README:
        assert tuple(names["pooled"].shape) == (3, 64)  # type: ignore[attr-defined]


def _lines_of(page: Path, command: str) -> list[str]:
    """Return the commands of a page in blocks without a language, except those that only show an option."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith(command)]


def _write_examples(folder: Path) -> None:
    """Write small files with the names and columns of the examples."""
    texts, labels = ["a good film", "a bad film"] * 15, ["good", "bad"] * 15
    events, failed = [["open", "read", "close"], ["open", "open"]] * 15, [0, 1] * 15
    steps, load = [[1.0, 2.0, None, 4.0], [4.0, 3.0, 2.0]] * 15, [1.0, 2.0] * 15
    tables: dict[str, dict[str, list[Any]]] = {
        "reviews.csv": {"text": texts, "label": labels},
        "new_reviews.csv": {"text": texts},
        "notes.csv": {"title": texts, "body": texts, "age": load, "author": list(range(30)), "label": labels},
        "train.tsv": {"text": texts, "label": labels},
        "test.tsv": {"text": texts, "label": labels},
        "log.jsonl": {"events": events},
        "sessions.jsonl": {"events": events, "failed": failed},
        "sentences.jsonl": {"words": events, "tags": [["B", "I", "O"], ["O", "O"]] * 15},
        "sensors.parquet": {"x": steps, "y": steps, "load": load},
    }
    for name, columns in tables.items():
        _write_table(folder / name, columns)
    for part in ("TRAIN", "TEST"):
        series = [[i % 2, *(j * (i % 2) for j in range(12))] for i in range(30)]
        (folder / f"GunPoint_{part}.tsv").write_text("\n".join("\t".join(map(str, row)) for row in series))
        values = "".join(f"1,2,{i % 2}:3,4,5:{'ab'[i % 2]}\n" for i in range(30))
        header = "@univariate false\n@dimensions 2\n@classLabel true a b\n@data\n"
        (folder / f"Vowels_{part}.ts").write_text(header + values)


def _write_table(path: Path, columns: dict[str, list[Any]]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
        return
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    delimiter = "\t" if path.suffix == ".tsv" else ","
    lines = [columns, *([str(value) for value in row.values()] for row in rows)]
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "command-line.md"], ids=lambda page: page.name)
def test_the_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that train from tables, each with one epoch and at most two folds, and those that read the first run."""
    _write_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    lines = [line for line in _lines_of(page, "throughtime train ") if "book.txt" not in line]
    assert len(lines) >= 3
    short = "--epochs 1 --no-baselines --quiet"
    others = [
        "throughtime predict runs/a new_reviews.csv",
        "throughtime compare runs/a runs/b --out compare.html",
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
