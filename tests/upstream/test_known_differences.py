"""Each known difference to PyTorch's tests has a reason, which the docs repeat."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from .known import known_differences
from .run import main

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"


def test_every_known_difference_is_one_test_with_a_reason_on_the_page() -> None:
    found = known_differences()
    page = PAGE.read_text(encoding="utf-8")
    assert found
    for pattern, reason in found.items():
        assert fnmatchcase(pattern, "Test*::test_*"), pattern
        assert reason.rstrip(".") in page, reason


def test_without_a_folder_of_pytorch_it_says_how_to_call_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], [str(tmp_path)]):
        assert main(arguments) == 2
        assert "make test-torch PYTORCH=path/to/pytorch" in capsys.readouterr().err
