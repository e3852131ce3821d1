"""Settings of the test run."""

import gc
import os

# Before torch is imported: its threads, and those of the processes that tests start, sleep when they wait. By default
# they spin, which costs the other workers more than half of the processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Products of bfloat16 also on processors where those of float32 are faster.
os.environ.setdefault("THROUGHTIME_BFLOAT16", "always")

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.browser import browser, page_at, shared_page_at

__all__ = ["browser", "page_at", "shared_page_at"]  # fixtures of all tests

settings.register_profile("repo", derandomize=True, deadline=None, max_examples=10)
settings.register_profile("long", deadline=None, max_examples=100)  # of `make test-long`
settings.load_profile("repo")
torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Take what is collected out of the search for cycles, which would read all tests and modules again and again."""
    gc.disable()
    yield
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


@pytest.fixture(autouse=True)
def _threads_left_as_they_were() -> Iterator[None]:
    """Fail the test that leaves the process with another number of threads, not one of those that run after it."""
    yield
    if (threads := torch.get_num_threads()) != 1:
        torch.set_num_threads(1)
        pytest.fail(f"left torch.get_num_threads() at {threads} instead of 1")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name no test by the bytes of a file, which may hold the second it was made in: workers collect twice."""
    return argname if isinstance(val, bytes) else None
