"""Thousands of damaged files: a reader returns a value or raises an error of throughtime, within its budget.

``make test`` tries some of each kind, always the same; ``make fuzz`` many, others each time.
"""

import os
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from throughtime.errors import ThroughtimeError

from .budget import outcome
from .loaders import Loader
from .table import LOADERS

CASES = int(os.environ.get("THROUGHTIME_FUZZ_CASES", "25"))
SLOW_CASES = int(os.environ.get("THROUGHTIME_FUZZ_CASES", "8"))
"""Of each reader that starts a process."""


@cache
def _prepared(name: str) -> Loader:
    """Return a loader that has read a file: what it imports by that is no cost of the next one."""
    loader = LOADERS[name]
    with TemporaryDirectory() as folder:
        loader.load(loader.write(Path(folder), loader.valid[0]))
    return loader


@pytest.mark.parametrize("name", LOADERS)
def test_valid_files_are_read(name: str, tmp_path: Path) -> None:
    loader = _prepared(name)
    for number, content in enumerate(loader.valid):
        found = outcome(partial(loader.load, loader.write(tmp_path / str(number), content)))
        assert not isinstance(found, ThroughtimeError), found


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_files_are_read_or_refused(name: str) -> None:
    loader = _prepared(name)

    @settings(
        max_examples=SLOW_CASES if loader.slow else CASES,
        derandomize="THROUGHTIME_FUZZ_CASES" not in os.environ,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=loader.damaged)
    def read(content: bytes) -> None:
        with TemporaryDirectory() as folder:
            outcome(partial(loader.load, loader.write(Path(folder), content)))

    read()
