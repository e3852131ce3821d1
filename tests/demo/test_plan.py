"""The quick plan, and that the command line runs it."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunCli
from throughtime.demo.plan import DemoPlan


def test_the_quick_plan_has_the_same_networks_on_less_data(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, whole = DemoPlan.quick(), DemoPlan()
    assert [n.model.name for n in quick.networks] == [n.model.name for n in whole.networks]
    for fewer, more in zip(vars(quick.sizes).values(), vars(whole.sizes).values(), strict=True):
        assert fewer < more
    assert quick.to_json() != whole.to_json()
    read: list[Any] = []
    monkeypatch.setattr("throughtime.demo.plan.PythonOperators", lambda *arguments: read.append(arguments))
    quick.source()
    ((_, _, files, packages),) = read
    assert {file.name.partition("/")[0] for file in files} == {"python"}
    assert len(packages) == 1


@pytest.mark.parametrize(
    ("arguments", "folder", "plan"),
    [
        ((), "runs/demo", DemoPlan()),
        (("--quick",), "runs/demo-quick", DemoPlan.quick()),
        (("--quick", "--out", "x"), "x", DemoPlan.quick()),
    ],
)
def test_the_command_runs_the_plan(
    arguments: tuple[str, ...],
    folder: str,
    plan: DemoPlan,
    run_cli: RunCli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []

    def stopped(out: Path, plan: DemoPlan, _tell: object) -> None:
        calls.append((out, plan))
        raise KeyboardInterrupt

    monkeypatch.setattr("throughtime.cli._demo.run_demo", stopped)
    outcome = run_cli("demo", *arguments)
    assert calls == [(Path(folder), plan)]
    quick = "--quick " * ("--quick" in arguments)
    assert f"Continue with: throughtime demo {quick}--out {folder}" in outcome.out
