"""``throughtime tune``: what it prints, how it stops, and that its best run is an ordinary run."""

import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
import torch

from throughtime.training import Run

from .conftest import RunCli, rows_of_all_tasks, write_csv

SMALL = ("--text", "words", "--target", "kind", "--model", "textcnn", "--embedding-size", 8)
SHORT = (*SMALL, "--epochs", 2, "--min-count", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "data.csv", rows_of_all_tasks(40))


def press_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Press Ctrl-C in a step of the optimizer."""
    step, calls = torch.optim.AdamW.step, 0

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", counting)


def trial_lines(out: str) -> list[str]:
    return [line for line in out.splitlines() if re.match(r" +\d+  textcnn ", line)]


def test_a_search_prints_its_trials_and_the_command_of_the_best(
    run_cli: RunCli, data: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    done = run_cli("tune", data, *SHORT, "--trials", 2, "--no-baselines", "--out", study)
    assert done.code == 0, done.err
    lines = trial_lines(done.out)
    assert [re.split(" {2,}", line.strip())[:2] for line in lines] == [["0", "textcnn"], ["1", "textcnn"]]
    assert "1/1" in lines[0]
    assert "2/2" in lines[1]
    assert "trial 0 with all epochs" in lines[1]
    assert "best of 2 trials" in done.out
    command = shlex.split(done.out.splitlines()[-1])
    assert command[:3] == ["throughtime", "train", str(data)]

    predicted = run_cli("predict", study / "best", data, "--format", "csv")
    assert predicted.code == 0
    assert len(predicted.out.splitlines()) == 41
    assert (study / "best" / "report.html").is_file()

    again = tmp_path / "again"
    words = [str(again) if word == "RUN" else word for word in command[1:]]
    assert run_cli(*words, "--no-baselines", "--quiet").code == 0
    first, second = (Run.open(path).load_model().state_dict() for path in (study / "best", again))
    assert all(torch.equal(first[name], second[name]) for name in first)

    more = run_cli("tune", data, "--trials", 3, "--resume", "--no-baselines", "--out", study)
    assert more.code == 0, more.err
    assert trial_lines(more.out)[0] == lines[0]
    assert len(trial_lines(more.out)) == 3
    other = run_cli("tune", data, "--epochs", 3, "--resume", "--out", study)
    assert (other.code, other.out) == (2, "")
    assert "is a study with --epochs = 2, now it is 3; give the same" in other.err


def test_ctrl_c_keeps_the_finished_trials(
    run_cli: RunCli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study"
    arguments = ("tune", data, *SHORT, "--tokens-per-batch", 1000, "--no-baselines", "--out", study)
    with monkeypatch.context() as patch:
        press_at_step(patch, 1)
        stopped = run_cli(*arguments, "--trials", 2)
    assert stopped.code == 130
    assert stopped.out.splitlines()[-1] == "stopped before the first trial ended; nothing was saved"
    assert not study.exists()
    with monkeypatch.context() as patch:
        press_at_step(patch, 2)
        stopped = run_cli(*arguments, "--trials", 2)
    assert stopped.code == 130
    assert len(trial_lines(stopped.out)) == 1
    said = f"stopped; {study} holds the finished trials; continue with --resume"
    assert stopped.out.splitlines()[-1] == said
    resumed = run_cli(*arguments, "--trials", 2, "--resume", "--quiet")
    assert (resumed.code, resumed.out) == (0, "")
    assert Run.open(study / "best").finished


def test_without_optuna_the_error_names_what_to_install(
    run_cli: RunCli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = run_cli("tune", data, *SHORT, "--out", tmp_path / "study")
    assert done.code == 2
    assert done.err == "error: a search needs optuna; in a clone of throughtime: pip install '.[tune]'\n"
    assert not (tmp_path / "study").exists()


def test_help_names_the_options_of_a_search_and_of_a_training(run_cli: RunCli) -> None:
    done = run_cli("tune", "--help")
    assert done.code == 0
    for option in ("--trials", "--budget", "--resume", "--learning-rate", "--hidden-size", "--validation"):
        assert option in done.out
    assert "--folds" not in done.out
