"""Fixtures of the bench's tests."""

import pytest

from tests.cli.conftest import run_cli  # noqa: F401 - a fixture


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
