"""The examples of README and docs print what the pages say; those of slow pages are run by `make docs-test`."""

from pathlib import Path

import pytest

from tests.docs.files import write_examples
from tests.docs.pages import Page, blocks_of, with_examples, written
from tests.docs.running import run


@pytest.mark.parametrize("page", with_examples(slow=False), ids=lambda page: page.name)
def test_the_examples_print_what_the_page_says(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_examples(tmp_path)
    run(page, tmp_path)


def _page(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("tests.docs.pages.ROOT", folder)
    (folder / "page.md").write_text(text)
    return Page(folder / "page.md")


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)  # 2\n```\n",
        "```python\nprint(1)\n```\n",
        "```python\nx = 1  # 1\nprint(x)  # 1\nprint(x)\n```\n",
        "```python\nprint(1)\n```\n\ntext\n\n```output\n2\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ throughtime predict missing_run missing.csv\n```\n",
        "```{code-block} python\n:caption: x.py\n\nprint(1)\n```\n\n```console\n$ python x.py\n2\n```\n",
    ],
)
def test_a_page_that_says_something_else_fails(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = _page(tmp_path, text, monkeypatch)
    with pytest.raises(AssertionError, match=r"page\.md:\d+"):
        run(page, tmp_path)


def test_a_page_that_is_right_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """# Title

```{code-block} python
:caption: x.py

print("from a file")
```

1. A list:

   ```python
   x = 2
   print(x)  # 2
   ```

```python
print(x + 1, "and so on")
```

```output
3 and ...
```

```console
$ python x.py
from a file
$ echo one \\
    two | tr o 0
0ne tw0
$ throughtime --version
throughtime ...
```
"""
    run(_page(tmp_path, text, monkeypatch), tmp_path)


def test_every_command_is_run_or_marked_as_shown_only() -> None:
    """A command stands in a fence `console`, which is run, or `sh`, which is not: it needs hours, or other machines."""
    for page in written():
        for block in page.blocks:
            if page.name not in ("README.md", "docs/contributing.md") and block.language in ("", "text"):
                assert not any(
                    line.startswith(("throughtime ", "$ ", "make ", "pip "))
                    for line in block.text.splitlines()
                ), f"{page.name}:{block.line}"
            assert block.language != "py", f"{page.name}:{block.line}: python is run, py would not be"


def test_fences_are_read_with_their_line() -> None:
    (block,) = blocks_of("text\n\n```{code-block} csv\n:caption: a.csv\n:linenos:\n\nx,y\n1,2\n```\n")
    assert (block.language, block.text, block.line, block.file) == ("csv", "x,y\n1,2\n", 3, "a.csv")
