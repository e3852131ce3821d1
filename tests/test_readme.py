"""The README's Python examples run, one after the other, and print what they say."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_print_what_their_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    codes = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for code in codes:
        said = re.findall(r"print\(.*\)\s+# (.*)", code)
        exec(code, names)
        assert said
        assert capsys.readouterr().out.splitlines() == said
    assert tuple(names["pooled"].shape) == (3, 64)  # type: ignore[attr-defined]


def test_the_house_lists_every_package() -> None:
    text = README.read_text("utf-8")
    packages = [path.name for path in (README.parent / "src" / "throughtime").iterdir() if path.is_dir()]
    for package in packages:
        if not package.startswith("_"):
            assert re.search(rf"^  {package}/ ", text, re.MULTILINE), package
