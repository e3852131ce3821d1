"""The README's Python example runs, and prints what it says."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_its_comment_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (said,) = re.findall(r"print\(.*\)\s+# (.*)", code)
    names: dict[str, object] = {}
    exec(code, names)
    assert capsys.readouterr().out == f"{said}\n"
    assert tuple(names["pooled"].shape) == (3, 64)  # type: ignore[attr-defined]


def test_the_house_lists_every_package() -> None:
    text = README.read_text("utf-8")
    packages = [path.name for path in (README.parent / "src" / "throughtime").iterdir() if path.is_dir()]
    for package in packages:
        if not package.startswith("_"):
            assert re.search(rf"^  {package}/ ", text, re.MULTILINE), package
