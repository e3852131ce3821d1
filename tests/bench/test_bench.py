"""The bench: its arithmetic, what it refuses and leaves out, and a small run of everything but the times."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from throughtime.bench import Plan, Row, run
from throughtime.bench._case import Case, Mode, Shape, kinds_of, make_case
from throughtime.bench._chart import write_chart
from throughtime.bench._machine import this_machine
from throughtime.bench._record import write_json
from throughtime.bench._summary import best_of, geometric_mean, summarize
from throughtime.bench._timing import in_turns
from throughtime.bench.peers import Prepared, SkipCaseError, _ours, find
from throughtime.cli._bench import BenchOptions, bench_recurrent
from throughtime.errors import ShapeError

TINY = Shape(3, 5, 4, 6)


def _row(peer: str, peer_s: float, lengths: str = "equal", cell: str = "GRU") -> Row:
    return Row(cell, str(TINY), lengths, "training", peer, 1.0, peer_s, 1.0)


def test_a_ratio_above_one_means_that_we_are_faster() -> None:
    assert _row("torch", 3.0).ratio == 3.0


def test_summary_takes_the_geometric_mean_and_names_the_worst() -> None:
    rows = [
        _row("torch", 2.0),
        _row("torch", 8.0, cell="LSTM"),
        _row("jax", 1.5),
        _row("jax", 16.0, cell="LSTM"),
    ]
    lines = {line.what: line for line in summarize(rows)}
    against_torch = lines["training, equal, against torch"]
    assert against_torch.mean == pytest.approx(4.0)
    assert (against_torch.worst, against_torch.count) == (2.0, 2)
    assert against_torch.worst_at.startswith("GRU")
    best = lines["training, against the best of all peers"]
    assert best.mean == pytest.approx(geometric_mean([1.5, 8.0]))
    assert set(lines) == {"training, equal, against torch", "training, against the best of all peers"}


def test_the_best_peer_is_chosen_for_each_thing_measured() -> None:
    rows = [_row("torch", 2.0), _row("jax", 1.5), _row("torch", 3.0, "ragged")]
    assert [(row.peer, row.lengths) for row in best_of(rows)] == [("jax", "equal"), ("torch", "ragged")]


def test_medians_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order = [0.0], []
    durations = {"slow": iter([9.0] * 2 + [1.0, 9.0] * 9), "fast": iter([1.0] * 99)}

    def call(name: str):
        def advance() -> None:
            order.append(name)
            now[0] += next(durations[name])

        return advance

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda _: None)
    slow, fast = in_turns([call("slow"), call("fast")], rounds=3, seconds=0.5)
    assert fast == 1.0
    assert slow == 1.0 or slow == 9.0
    assert order == ["slow", "fast"] + ["slow", "slow", "fast", "fast"] * 3


def test_ragged_lengths_are_spread_from_a_quarter_and_reproducible() -> None:
    case = make_case("LSTM", Shape(9, 40, 3, 4), "ragged")
    assert sorted(case.lengths.tolist()) == torch.linspace(10, 40, 9).long().tolist()
    assert case.lengths.tolist() != sorted(case.lengths.tolist())
    assert torch.equal(case.values, make_case("LSTM", Shape(9, 40, 3, 4), "ragged").values)
    assert kinds_of(Shape(1, 5, 3, 4), ["equal", "ragged"]) == ["equal"]


def test_operations_count_the_products_over_real_tokens() -> None:
    case = make_case("LSTM", TINY, "equal")
    assert case.operations("inference") == 2 * 15 * (4 + 6) * 24
    assert case.operations("training") == 3 * case.operations("inference")


def test_absent_peers_are_left_out_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ImportError(f"No module named {name.rpartition('.')[2]!r}")

    monkeypatch.setattr(importlib, "import_module", absent)
    assert find(["jax"], 1) == ([], ["jax is not measured: No module named '_jax'"])


class _Wrong:
    """A peer that computes something else."""

    name = "wrong"
    version = "0"

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        ours = _ours.prepare(case, mode)
        return Prepared(ours.run, lambda made: tuple(part + 1 for part in ours.results(made)))


class _Absent:
    name = "absent"
    version = "0"

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        raise SkipCaseError("absent does not train")


def test_a_peer_that_computes_something_else_is_not_timed() -> None:
    plan = Plan(cells=["GRU"], shapes=[TINY], kinds=["ragged"], modes=["training"], rounds=1, seconds=0.0)
    outcome = run(plan, [_Wrong(), _Absent()], lambda rows: None)
    assert outcome.rows == []
    assert outcome.notes[0].startswith("wrong is left out for GRU, ragged lengths: its results differ")
    assert outcome.notes[1:] == ["absent does not train"]


def test_everything_measured_is_written(tmp_path: Path) -> None:
    peers, missing = find(["torch"], 1)
    plan = Plan(shapes=[TINY, Shape(1, 4, 3, 5)], rounds=1, seconds=0.0)
    told: list[Row] = []
    outcome = run(plan, peers, told.extend)
    assert (missing, outcome.notes) == ([], [])
    assert outcome.rows == told
    assert len(told) == 3 * (4 + 2)
    machine = this_machine(peers, 1)
    write_json(tmp_path / "r.json", told, machine, ["a note"])
    content = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert content["format_version"] == 1
    assert content["machine"]["versions"]["torch"] == torch.__version__
    assert content["notes"] == ["a note"]
    assert {
        tuple(row[key] for key in ("cell", "shape", "lengths", "mode", "peer")) for row in content["rows"]
    } == {(*row.what, "torch") for row in told}
    assert all(row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"]) for row in content["rows"])
    write_chart(tmp_path / "r.html", told, machine)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "training, ragged lengths" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cells": "LSTM,MLP"}, "--cells: 'MLP' is none of LSTM, GRU, RNN"),
        ({"peers": "keras"}, "--peers: 'keras' is none of torch, "),
        ({"shapes": ["1,2,3"]}, "four positive numbers B,T,I,H.*'1,2,3'"),
        ({"shapes": ["1,2,0,4"]}, "'1,2,0,4'"),
    ],
)
def test_options_that_mean_nothing_are_named(given: dict[str, object], words: str, tmp_path: Path) -> None:
    options = {
        "peers": "torch",
        "cells": "GRU",
        "shapes": [],
        "lengths": "equal",
        "modes": "training",
        "threads": 1,
        "rounds": 1,
        "out": tmp_path,
        "extras": False,
    }
    with pytest.raises(ShapeError, match=words):
        bench_recurrent(BenchOptions(**{**options, **given}))  # type: ignore[arg-type]
