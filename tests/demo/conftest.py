"""A small python-operators for the tests of the demo, and the command line."""

import pytest

from tests.cli.conftest import (
    run_cli,  # noqa: F401 - a fixture
    small_operators,
)
from throughtime.demo.operators.dataset import PythonOperators


@pytest.fixture(scope="session")
def operators() -> PythonOperators:
    """Made of ten files of the standard library."""
    return small_operators()
