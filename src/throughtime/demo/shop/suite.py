"""`run_suite`: runs the tests of the shop several times, and keeps their log."""

import logging
import unittest
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

from throughtime.demo.shop.scenarios import ShopTests
from throughtime.errors import RunError


class SuiteRun(NamedTuple):
    """Number of tests that were run (all passed), and the requests with the fault."""

    tests: int
    faulty: tuple[str, ...]


def run_suite(log: Path, rounds: int, seed: int, *, leaks: bool = False) -> SuiteRun:
    """Run all tests of the shop, and write its log.

    Parameters
    ----------
    log : Path
        File of the log; an old one is replaced.
    rounds : int
        How often each test runs, each time with other random orders.
    seed : int
        Random seed.
    leaks : bool
        Whether the shop has the fault, see `throughtime.demo.shop.service.Shop`.

    Raises
    ------
    RunError
        If a test fails.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_suite(Path(folder) / "shop.log", 2, seed=0, leaks=True)
    SuiteRun(tests=14, faulty=('req-00004', 'req-00024'))
    """
    logger, handler = logging.Logger("shop"), logging.FileHandler(log, "w", "utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    source, leaked = Random(seed), list[str]()  # noqa: S311 - not for secrets
    state = {"log": logger, "random": source, "requests": count(), "leaks": leaks, "leaked": leaked}
    tests, result = type("ShopTests", (ShopTests,), state), unittest.TestResult()
    try:
        for _ in range(rounds):
            unittest.defaultTestLoader.loadTestsFromTestCase(tests).run(result)
    finally:
        handler.close()
    for test, trace in (*result.failures, *result.errors):
        raise RunError(f"{test} failed: {trace.splitlines()[-1]}; see {log}")
    return SuiteRun(result.testsRun, tuple(leaked))
