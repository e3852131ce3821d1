"""``throughtime bench cells``: what it prints, writes and refuses."""

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import RunCli
from throughtime.bench.cells import PARTS, Plan, Row, comparisons, measure
from throughtime.bench.recurrent.case import Shape


def test_the_command_prints_and_writes_each_comparison(
    run_cli: RunCli, no_pause: None, tmp_path: Path
) -> None:
    options = ["--parts=built-in", "--shape=3,5,4,6", "--shape=1,2,3,4", "--rounds=1", "--threads=1"]
    done = run_cli("bench", "cells", *options, "--out", tmp_path / "new")
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "new" / "cells.json").read_text("utf-8"))
    rows = content["rows"]
    # Two cells and two modes, of the first shape with equal and ragged lengths.
    assert len(rows) == 2 * 2 * (2 + 1)
    for row in rows:
        assert row["ratio"] == pytest.approx(row["first_s"] / row["second_s"], abs=1e-3)
    assert done.out.count("x the time of built-in layer") == len(rows)


def test_ratios_are_of_times_or_of_speeds() -> None:
    numbers = ("loop", "GRU", "equal", "training", "function", "loop", 2.0, 6.0)
    assert Row(*numbers, "speed").ratio == 3.0
    assert Row(*numbers, "time").ratio == pytest.approx(1 / 3)


def test_a_function_that_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = comparisons.GRUFunction.forward
    monkeypatch.setattr(
        comparisons.GRUFunction, "forward", lambda self, h, x: forward(self, h, x) + 0.1 * torch.ones_like(h)
    )
    plan = Plan(["built-in"], [Shape(2, 3, 4, 5)], threads=1, rounds=1, seconds=0.001)
    with pytest.raises(comparisons.DifferentResultsError, match=r"GRU B2 T3 I4 H5: .* differ by"):
        list(measure(plan))


def test_unknown_parts_are_refused_with_those_that_there_are(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("bench", "cells", "--parts", "gru", "--out", tmp_path)
    assert done.code != 0
    assert ", ".join(PARTS) in done.err
