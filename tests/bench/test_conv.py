"""The bench of convolutions: its arithmetic, that both sides compute the same, and small runs of the command."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.conftest import RunCli
from throughtime.bench.conv import Comparison, Plan, Record, Row, Shape, measure
from throughtime.bench.conv import tasks as listed
from throughtime.bench.conv._pair import pair
from throughtime.bench.conv._worker import compare
from throughtime.bench.conv.growth import growth_panels
from throughtime.bench.conv.record import points_of, summarize
from throughtime.bench.conv.tasks import Task, tasks
from throughtime.errors import ThroughtimeError

TINY = Shape(3, 9, 4, 6, 3, 2)


def _row(what: str, ours_s: list[float], peer_s: list[float], operations: float = 0.0) -> Row:
    return Row("conv", what, "equal", "training", "torch", operations, ours_s, peer_s)


def test_a_ratio_is_the_median_of_the_processes_own() -> None:
    row = _row("a", [1.0, 2.0, 4.0], [3.0, 2.0, 8.0], operations=6e9)
    assert row.ratios == [1.0, 2.0, 3.0]
    assert row.ratio == 2.0  # of medians it would be 3 / 2
    assert row.gflops == 3.0


def test_summary_takes_geometric_mean_and_worst_of_each_part() -> None:
    pooled = Row("pool", "c", "ragged", "training", "torch", 0.0, [1.0], [5.0])
    lines = summarize([_row("a", [1.0], [2.0]), _row("b", [1.0], [8.0]), pooled])
    assert [line.what for line in lines] == ["conv, training, equal", "pool, training, ragged"]
    assert lines[0].mean == pytest.approx(4.0)
    assert (lines[0].worst, lines[0].worst_at, lines[0].count) == (2.0, "a", 2)


def test_points_carry_the_spread_of_the_processes() -> None:
    (point,) = points_of([_row("a", [1.0, 1.0, 1.0], [3.0, 2.0, 4.0])])
    assert (point.ratio, point.low, point.high) == (3.0, 2.0, 4.0)
    assert (point.panel, point.series) == ("conv: torch ÷ ours", "training, equal")


def test_a_record_collects_one_time_from_each_process_and_each_note_once() -> None:
    record = Record(None)  # type: ignore[arg-type] - a machine is not needed here
    for seconds in (1.0, 2.0):
        record.add(Comparison("conv", "a", "equal", "training", "torch", 1.0, seconds, 3.0))
        record.add(Comparison("conv", "b", "equal", "training", "torch", 1.0, note="left out"))
    (row,) = record.rows.values()
    assert row.ours_s == [1.0, 2.0]
    assert record.notes == ["left out"]


def test_lengths_are_spread_from_a_quarter_in_another_order() -> None:
    lengths = listed._lengths("ragged", 9, 40).tolist()
    assert sorted(lengths) == torch.linspace(10, 40, 9).long().tolist()
    assert lengths != sorted(lengths)
    assert listed._lengths("equal", 2, 5).tolist() == [5, 5]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    monkeypatch.setattr(listed, "_POOLED", (Shape(3, 16, 4, 4, 2, 1),))
    monkeypatch.setattr(listed, "_SENTENCES", (Shape(3, 9, 4, 5, 3, 1),))
    monkeypatch.setattr(listed, "_GROWING", ((1, 8), (4, 16)))
    return list(tasks(Plan(shapes=[TINY, Shape(1, 12, 3, 2, 5, 1)])))


def test_both_sides_compute_the_same_wherever_it_is_claimed(small: list[Task]) -> None:
    checked = set()
    for task in small:
        difference = task.prepare().difference
        if difference is not None:
            checked.add((task.part, task.kind, task.mode))
            assert difference() < 1e-5, task
    modes = ("inference", "training")
    both = {(part, kind, mode) for part in ("conv", "pool") for kind in ("equal", "ragged") for mode in modes}
    assert both <= checked
    assert {(part, "equal", mode) for part in ("norm", "model") for mode in modes} <= checked
    assert not {("norm", "ragged", "training"), ("model", "ragged", "training")} & checked


def test_what_differs_is_seen() -> None:
    lengths = torch.tensor([4, 2])
    values = torch.randn(6, 3)
    wrong = pair(lambda x: x.with_values(2 * x.values), lambda x: 2 * x + 0.1, values, lengths, "inference")
    assert wrong.difference is not None
    assert wrong.difference() > 1e-2
    slope = pair(
        lambda x: x.with_values(2 * x.values),
        lambda x: 2 * x + 0.1 * (x - x.detach()),
        values,
        lengths,
        "training",
    )
    assert slope.difference is not None
    assert slope.difference() > 1e-2


def test_operations_count_products_of_real_tokens_three_times_in_training(small: list[Task]) -> None:
    found = {(task.what, task.kind, task.mode): task.operations for task in small if task.part == "conv"}
    tokens = int(listed._lengths("ragged", 3, 9).sum())
    assert found[str(TINY), "ragged", "inference"] == 2 * 3 * 4 * 6 * tokens
    assert found[str(TINY), "equal", "training"] == 3 * 2 * 3 * 4 * 6 * 27
    assert ("B1 T12 C3 O2 K5", "ragged", "training") not in found


def test_a_gru_and_convolutions_do_as_many_operations(small: list[Task]) -> None:
    task = next(task for task in small if task.part == "length" and task.mode == "inference")
    gates, inputs_and_state = 3 * 128, 2 * 128
    assert task.operations == 8 * 2 * gates * inputs_and_state


def test_growth_has_a_curve_for_each_layer() -> None:
    rows = [
        Row(
            "length",
            f"B1 T{steps} C128",
            "equal",
            "training",
            peer,
            1.0,
            [1e-3 * steps],
            [factor * 1e-3 * steps],
        )
        for peer, factor in (("GRU", 3.0), ("MinGRU", 0.5))
        for steps in (64, 256)
    ]
    (panel,) = growth_panels(rows)
    assert [curve.name for curve in panel.curves] == ["two convolutions", "GRU", "MinGRU"]
    assert panel.text == (
        "At 256 steps the GRU takes 3.00, the MinGRU takes 0.50 times as long as the convolutions."
    )
    assert [line.what for line in summarize(rows)] == [
        "length of GRU, training, equal",
        "length of MinGRU, training, equal",
    ]


def test_what_disagrees_is_left_out_by_name(no_pause: None) -> None:
    values, lengths = torch.randn(6, 3), torch.tensor([4, 2])
    task = Task(
        "conv",
        "this",
        "equal",
        "inference",
        "torch",
        0.0,
        lambda: pair(lambda x: x, lambda x: 2 * x, values, lengths, "inference"),
    )
    found = compare(task, Plan(rounds=1, seconds=0.0))
    assert found.note is not None
    assert found.note.startswith("this, equal, inference: torch's results differ from ours by 5.0e-01")
    assert found.ours_s is None


def test_a_process_that_fails_is_an_error() -> None:
    with pytest.raises(ThroughtimeError, match="the benchmark process ended with status 1"):
        list(measure(Plan(parts=["nothing"])))


def _bench(run_cli: RunCli, out: Path, *arguments: str) -> Any:
    defaults = ["--parts=conv", "--rounds=1", "--threads=1", "--processes=2", "--shape=3,5,4,6,3,1"]
    return run_cli("bench", "conv", *defaults, "--out", out, *arguments)


def test_the_command_prints_and_writes_everything(run_cli: RunCli, tmp_path: Path) -> None:
    done = _bench(run_cli, tmp_path / "new" / "out", "--shape", "1,9,2,3,2,4")
    assert done.code == 0, done.err
    assert "conv, training, ragged" in done.out
    content = json.loads((tmp_path / "new" / "out" / "conv.json").read_text("utf-8"))
    assert content["processes"] == 2
    assert len(content["rows"]) == 4 + 2
    row = content["rows"][0]
    assert (row["what"], row["lengths"], row["mode"]) == ("B3 T5 C4 O6 K3", "equal", "inference")
    assert len(row["ours_s"]) == len(row["peer_s"]) == 2
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    page = (tmp_path / "new" / "out" / "conv.html").read_text("utf-8")
    assert "training, ragged" in page
    assert 'src="http' not in page


def test_what_was_measured_is_kept_when_stopped(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(plan: Plan) -> Any:
        yield Comparison("conv", "a", "equal", "training", "torch", 1.0, 1.0, 2.0)
        raise KeyboardInterrupt

    monkeypatch.setattr("throughtime.cli._bench_conv.measure", stopped)
    done = _bench(run_cli, tmp_path)
    assert done.code == 130
    assert "stopped" in done.out
    assert len(json.loads((tmp_path / "conv.json").read_text("utf-8"))["rows"]) == 1


def test_a_reader_that_stops_ends_the_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(popen(*arguments, **options))
        return started[0]

    monkeypatch.setattr("subprocess.Popen", start)
    lines = measure(Plan(parts=["conv"], shapes=[TINY, Shape(2, 500, 64, 64, 3, 1)], rounds=1, seconds=0.001))
    next(lines)
    lines.close()
    assert started[0].returncode is not None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ("--parts", "conv,rnn"),
            "--parts: unknown value 'rnn'; choose from conv, pool, norm, model, length",
        ),
        (
            ("--shape", "1,2,3"),
            "six positive numbers B,T,C,O,K,dilation such as 64,64,128,100,3,1, got '1,2,3'",
        ),
        (("--modes", "fast"), "--modes: unknown value 'fast'; choose from inference, training"),
        (("--modes", "none"), "these options select nothing to measure"),
    ],
)
def test_options_that_mean_nothing_are_named(
    given: tuple[str, str], words: str, run_cli: RunCli, tmp_path: Path
) -> None:
    done = _bench(run_cli, tmp_path / "out", *given)
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "out").exists()
