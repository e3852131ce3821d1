"""The bench: its arithmetic, what it refuses and leaves out, and small runs of everything but the times."""

import importlib

import numpy as np
import pytest
import torch

from throughtime.bench._lengths import Mode, kinds_of
from throughtime.bench._timing import in_turns
from throughtime.bench.means import geometric_mean
from throughtime.bench.recurrent import Measured, Plan, Row, extras, run
from throughtime.bench.recurrent._train_once import peak_memory
from throughtime.bench.recurrent.case import Case, Shape, make_case
from throughtime.bench.recurrent.peers import Prepared, SkipCaseError, find
from throughtime.bench.recurrent.peers import ours as ours_peer
from throughtime.bench.recurrent.record import LinearRow, MemoryRow, TraceRow
from throughtime.bench.recurrent.summary import best_of, shares, summarize

TINY = Shape(3, 5, 4, 6)


def _row(
    peer: str,
    peer_s: float,
    lengths: str = "equal",
    cell: str = "GRU",
    shape: Shape = TINY,
    limit: float = 20.0,
) -> Row:
    return Row(cell, shape, lengths, "training", peer, 1.0, peer_s, gflops=10 / peer_s, limit_gflops=limit)


def test_a_ratio_above_one_means_that_we_are_better() -> None:
    assert _row("torch", 3.0).ratio == 3.0
    assert MemoryRow("GRU", TINY, "equal", ours_bytes=10, torch_bytes=20).ratio == 2.0


def test_the_ratio_of_a_trace_is_its_price() -> None:
    assert TraceRow("GRU", TINY, "equal", "training", plain_s=2.0, trace_s=3.0).ratio == 1.5


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


def test_shares_of_the_limit_are_those_of_large_cases_once_for_all_peers() -> None:
    large = Shape(32, 5, 4, 256)
    rows = [
        _row("torch", 1.0, shape=large),
        _row("jax", 1.0, shape=large),
        _row("torch", 4.0, cell="LSTM", shape=large, limit=10.0),
        _row("torch", 1e-3),  # small: thousands of GFLOP/s that must not count
        _row("torch", 1e-3, shape=Shape(31, 5, 4, 256)),
    ]
    (line,) = shares(rows)
    assert (line.what, line.count) == ("training", 2)
    assert line.mean == pytest.approx((0.5 * 0.25) ** 0.5)
    assert line.worst == pytest.approx(0.25)
    assert line.worst_at.startswith("LSTM B32")


def test_times_are_taken_in_turns_and_their_median_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order = [0.0], []
    # The first call, then in each of three rounds one untimed call and one that fills the round.
    durations = {"slow": iter([90.0, 80.0, 5.0, 70.0, 7.0, 60.0, 50.0]), "fast": iter([1.0] * 7)}

    def call(name: str):
        def advance() -> None:
            order.append(name)
            now[0] += next(durations[name])

        return advance

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert in_turns([call("slow"), call("fast")], rounds=3, seconds=0.5) == [7.0, 1.0]
    assert order == ["slow", "fast"] + ["slow", "slow", "fast", "fast"] * 3


def test_a_short_call_is_repeated_and_its_mean_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    durations = iter([9.0, 9.0, 1.0, 2.0, 3.0])

    def advance() -> None:
        now[0] += next(durations)

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert in_turns([advance], rounds=1, seconds=6.0) == [2.0]


def test_ragged_lengths_are_spread_from_a_quarter_and_reproducible() -> None:
    case = make_case("LSTM", Shape(9, 40, 3, 4), "ragged")
    assert sorted(case.lengths.tolist()) == torch.linspace(10, 40, 9).long().tolist()
    assert case.lengths.tolist() != sorted(case.lengths.tolist())
    again = make_case("LSTM", Shape(9, 40, 3, 4), "ragged")
    assert torch.equal(case.values, again.values)
    assert all(torch.equal(case.weights[name], again.weights[name]) for name in case.weights)
    assert kinds_of(1, ["equal", "ragged"]) == ["equal"]


def test_operations_count_the_products_over_real_tokens() -> None:
    case = make_case("LSTM", TINY, "equal")
    assert case.operations("inference") == 2 * 15 * (4 + 6) * 24
    assert case.operations("training") == 3 * case.operations("inference")
    ragged = make_case("GRU", TINY, "ragged")
    assert ragged.operations("inference") == 2 * int(ragged.lengths.sum()) * (4 + 6) * 18


def test_absent_peers_are_left_out_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ImportError("No module named 'jax'")

    monkeypatch.setattr(importlib, "import_module", absent)
    expected = "jax is not measured: No module named 'jax' (pip install jax)"
    assert find(["jax"], 1) == ([], [expected])


class _Wrong:
    """A peer whose last gradient, that of a bias, is another."""

    name = "wrong"
    version = "0"

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        ours = ours_peer.prepare(case, mode)

        def results(made: object) -> tuple[torch.Tensor, ...]:
            *right, last = ours.results(made)
            return (*right, last * 1.01)

        return Prepared(ours.run, results)


class _Short:
    name = "short"
    version = "0"

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        ours = ours_peer.prepare(case, mode)
        return Prepared(ours.run, lambda made: tuple(part[:1] for part in ours.results(made)))


class _Absent:
    name = "absent"
    version = "0"

    def prepare(self, case: Case, mode: Mode) -> Prepared:
        raise SkipCaseError("absent does not train")


def test_a_peer_that_computes_something_else_is_not_timed(no_pause: None) -> None:
    plan = Plan(cells=["GRU"], shapes=[TINY], kinds=["ragged"], modes=["training"], rounds=1, seconds=0.0)
    (measured,) = run(plan, [_Wrong(), _Short(), _Absent()])
    assert measured.rows == []
    wrong, short, absent = measured.notes
    assert wrong.startswith("wrong is left out for GRU B3 T5 I4 H6, ragged lengths: its results differ")
    assert short.startswith(
        "short is left out for GRU B3 T5 I4 H6, ragged lengths: its result has shape (1, 4)"
    )
    assert absent == "absent does not train"


def test_the_same_results_are_compared_of_everyone() -> None:
    case = make_case("LSTM", TINY, "ragged")
    (torchs,), _ = find(["torch"], 1)
    for peer in (ours_peer, torchs):
        inference, training = (peer.prepare(case, mode) for mode in ("inference", "training"))
        assert [part.shape for part in inference.results(inference.run())] == [(len(case.values), 6)]
        shapes = [part.shape for part in training.results(training.run())]
        assert shapes == [case.values.shape, *(weight.shape for weight in case.weights.values())]


def test_a_plan_gives_a_row_for_each_cell_shape_lengths_and_mode(no_pause: None) -> None:
    peers, missing = find(["torch"], 1)
    measured: list[Measured] = list(run(Plan(shapes=[TINY, Shape(1, 4, 3, 5)], rounds=1, seconds=0.0), peers))
    rows = [row for part in measured for row in part.rows]
    assert (missing, [note for part in measured for note in part.notes]) == ([], [])
    assert len({row.what for row in rows}) == len(rows) == 3 * (4 + 2)
    assert {row.peer for row in rows} == {"torch"}


def test_the_other_parts_measure_what_they_say(no_pause: None) -> None:
    steps = list(extras.step_rows(1, 0.0))
    assert [(row.cell, row.mode, row.peer) for row in steps] == [
        ("LSTM", "step", "torch"),
        ("GRU", "step", "torch"),
    ]
    traces = list(extras.trace_rows(1, 0.0, [TINY]))
    assert {(row.lengths, row.mode) for row in traces if row.cell == "RNN"} == {
        (kind, mode) for kind in ("equal", "ragged") for mode in ("inference", "training")
    }
    lines = list(extras.linear_rows(1, 0.0, [3, 7]))
    assert [(row.cell, row.mode, row.shape.steps) for row in lines] == [
        (cell, mode, count)
        for cell in ("LSTM", "GRU")
        for mode in ("inference", "training")
        for count in (3, 7)
    ]
    assert all(isinstance(row, LinearRow) and row.token_s > 0 for row in lines)


def test_the_call_and_the_step_of_the_small_table_agree() -> None:
    ours, theirs = extras._step_calls(make_case("GRU", Shape(1, 1, 64, 64), "equal"))
    with torch.no_grad():
        torch.testing.assert_close(ours()[0], theirs()[0][0])


def test_memory_is_that_of_the_new_process_alone() -> None:
    large = np.ones(600 * 2**20 // 8)
    assert peak_memory() > large.nbytes
    first = next(extras.memory_rows(1, TINY))
    assert 2**26 < first.ours_bytes < large.nbytes
    assert 2**26 < first.torch_bytes < large.nbytes
