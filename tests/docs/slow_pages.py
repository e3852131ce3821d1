"""The examples of pages whose front matter has `examples: slow`; `make docs-test` runs this file."""

from pathlib import Path

import pytest

from tests.docs.files import write_examples
from tests.docs.pages import Page, with_examples
from tests.docs.running import run


@pytest.mark.parametrize("page", with_examples(slow=True), ids=lambda page: page.name)
def test_the_examples_print_what_the_page_says(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_examples(tmp_path)
    run(page, tmp_path)
