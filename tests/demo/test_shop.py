"""The shop of the demo: its own tests, with and without the fault, and the scan of its log."""

from itertools import count
from pathlib import Path
from random import Random

import pytest

from throughtime.demo.shop import scenarios
from throughtime.demo.shop.scan import ShopPlan, scan_shop
from throughtime.demo.shop.suite import run_suite
from throughtime.errors import RunError
from throughtime.report import LogView


class TestShop(scenarios.ShopTests):
    """The tests of the demo, run by pytest."""


class TestShopWithFault(scenarios.ShopTests):
    """The fault fails none of them."""

    leaks = True
    random, requests, leaked = Random(1), count(), []


def _requests(log: Path) -> dict[str, str]:
    """Return the lines of each request, without times."""
    requests: dict[str, str] = {}
    for line in log.read_text("utf-8").splitlines():
        _, _, rest = line.split(" ", 2)
        name = next(word for word in rest.split() if word.startswith("req-"))
        requests[name] = requests.get(name, "") + f"{rest}\n"
    return requests


def test_the_fault_is_a_connection_that_is_not_released(tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    for leaks in (False, True):
        run = run_suite(log, 3, seed=4, leaks=leaks)
        assert run.tests == 21
        requests = _requests(log)
        leaking = {name for name, text in requests.items() if text.count("acquired") > text.count("released")}
        assert leaking == set(run.faulty)
        assert len(leaking) == 3 * leaks
        assert all("declined" in requests[name] for name in leaking)
    names = sorted(requests)
    assert run_suite(log, 3, seed=4, leaks=True) == run
    assert sorted(_requests(log)) == names


def test_a_failed_test_of_the_shop_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throughtime.demo.shop.service.LIMIT", 1)
    with pytest.raises(RunError, match=r"test_.* failed: AssertionError: 402 != 201; see .*shop\.log"):
        run_suite(tmp_path / "shop.log", 1, seed=0)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LogView]:
    out = tmp_path_factory.mktemp("demos") / "demo"
    view = scan_shop(out, ShopPlan(correct=25, faulty=2))
    assert view is not None
    return out, view


def test_the_fault_is_among_the_most_surprising_lines(scanned: tuple[Path, LogView]) -> None:
    out, view = scanned
    assert (view.tests, view.faulty, len(view.lines)) == (14, 2, 10)
    assert view.rank == 1
    first = view.lines[0]
    assert first.text.endswith("answered status=402")
    assert "released" in first.expected
    assert sum(line.is_fault and line.expected == first.expected for line in view.lines) == 2
    surprises = [line.surprise for line in view.lines]
    assert surprises == sorted(surprises, reverse=True)
    file, _, number = first.place.partition(":")
    assert (out / "logs" / file).read_text("utf-8").splitlines()[int(number) - 1] == first.text
    assert (out / view.link).exists()


def test_the_logs_are_made_again_for_a_finished_training(scanned: tuple[Path, LogView]) -> None:
    out, view = scanned
    again = scan_shop(out, ShopPlan(correct=25, faulty=2))
    assert again is not None
    assert [(line.place, line.surprise) for line in again.lines] == [
        (line.place, line.surprise) for line in view.lines
    ]
    assert scenarios.ShopTests.leaked == []
