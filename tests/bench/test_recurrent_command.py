"""``throughtime bench recurrent``: what it prints, writes, keeps and refuses."""

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import RunCli
from throughtime.bench.recurrent import Measured, Row
from throughtime.bench.recurrent.case import Shape


def _bench(run_cli: RunCli, out: Path, *arguments: str):
    defaults = ["--peers=torch", "--rounds=1", "--threads=1", "--extras=none", "--shape=3,5,4,6"]
    return run_cli("bench", "recurrent", *defaults, "--out", out, *arguments)


def test_the_command_prints_and_writes_everything(run_cli: RunCli, no_pause: None, tmp_path: Path) -> None:
    done = _bench(run_cli, tmp_path / "new" / "out", "--cells", "GRU,RNN", "--shape", "1,2,3,4")
    assert done.code == 0, done.err
    assert "training, ragged, against torch" in done.out
    assert done.out.count(" x\n") == 2 * (4 + 2)
    content = json.loads((tmp_path / "new" / "out" / "recurrent.json").read_text("utf-8"))
    assert content["format_version"] == 1
    machine = content["machine"]
    assert machine["versions"]["torch"] == torch.__version__
    assert machine["threads"] == 1
    assert machine["fma_gflops"] > 0
    assert len(content["rows"]) == 2 * (4 + 2)
    row = content["rows"][0]
    figures = {"ours_s", "peer_s", "ratio", "gflops", "limit_gflops"}
    assert set(row) == {"cell", "shape", "lengths", "mode", "peer"} | figures
    assert 0 < row["limit_gflops"] < 1e5
    assert (row["cell"], row["shape"], row["peer"]) == ("GRU", "B3 T5 I4 H6", "torch")
    assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"], abs=1e-3)
    page = (tmp_path / "new" / "out" / "recurrent.html").read_text("utf-8")
    assert "training, ragged lengths" in page
    assert 'src="http' not in page


def test_what_was_measured_is_kept_when_stopped(
    run_cli: RunCli,
    no_pause: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object):
        yield Measured(
            [Row("GRU", Shape(3, 5, 4, 6), "equal", "training", "torch", 1.0, 2.0, 1.0)], ["a note"]
        )
        raise KeyboardInterrupt

    monkeypatch.setattr("throughtime.cli._bench_recurrent.run", stopped)
    done = _bench(run_cli, tmp_path)
    assert done.code == 130
    assert "stopped" in done.out
    content = json.loads((tmp_path / "recurrent.json").read_text("utf-8"))
    assert len(content["rows"]) == 1
    assert "a note" in content["notes"]


def test_nothing_measured_is_no_chart(run_cli: RunCli, tmp_path: Path) -> None:
    done = _bench(run_cli, tmp_path, "--cells", "none")
    assert done.code == 0, done.err
    assert [file.name for file in tmp_path.iterdir()] == ["recurrent.json"]


@pytest.mark.parametrize(("load", "noted"), [(1.5, True), (0.1, False)])
def test_a_busy_machine_is_told(
    load: float, noted: bool, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    done = _bench(run_cli, tmp_path, "--cells", "none")
    assert ("the load was 1.5 when this began" in done.out) is noted
    content = json.loads((tmp_path / "recurrent.json").read_text("utf-8"))
    assert content["machine"]["load"] == load
    assert bool(content["notes"]) is noted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--cells", "LSTM,MLP"), "--cells: 'MLP' is none of LSTM, GRU, RNN"),
        (("--peers", "keras"), "--peers: 'keras' is none of torch, "),
        (("--extras", "speed"), "--extras: 'speed' is none of step, "),
        (("--shape", "1,2,3"), "four positive numbers B,T,I,H such as 32,100,64,64, got '1,2,3'"),
        (("--shape", "1,2,0,4"), "'1,2,0,4'"),
    ],
)
def test_options_that_mean_nothing_are_named(
    given: tuple[str, str],
    words: str,
    run_cli: RunCli,
    tmp_path: Path,
) -> None:
    done = _bench(run_cli, tmp_path / "out", *given)
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "out").exists()
