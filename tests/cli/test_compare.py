"""``throughtime compare``: the metrics of runs side by side."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from throughtime.cli._train import print_summary
from throughtime.learn.summary import read_summary
from throughtime.training import Run

from .conftest import RunCli, trained
from .test_bad_input import refused


def test_runs_and_their_best_baselines_stand_side_by_side(
    tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    data = task_runs["tagging"].parent / "data.csv"
    options = ("--text", "words", "--target", "kind", "--epochs", 1)
    gru = trained(tmp_path / "gru", data, *options, "--model", "bigru", "--hidden-size", 4)
    page = tmp_path / "new" / "page.html"
    done = run_cli("compare", task_runs["classification"], gru, "--out", page)
    assert (done.code, done.err) == (0, "")
    lines = [[cell.strip() for cell in line.split("│")] for line in done.out.splitlines()]
    named = {cells[0]: cells for cells in lines if len(cells) > 1}
    assert list(named)[:2] == ["textcnn (classification)", "bigru (gru)"]
    run, summary = Run.open(gru), read_summary(Run.open(gru))
    assert summary is not None
    assert summary.best_baseline is not None
    parameters = sum(parameter.numel() for parameter in run.load_model().parameters())
    cells = named["bigru (gru)"]
    assert cells[1] == f"test ({summary.score.examples} sequences)"
    assert cells[2].startswith(f"{100 * summary.score['accuracy']:.1f} % (")
    assert cells[-2] == f"{parameters:,}"
    best = named[summary.best_baseline.name]
    assert best[2].startswith(f"{100 * summary.best_baseline.score['accuracy']:.1f} %")
    assert done.out.rstrip().endswith(f"saved in {page}")
    assert "bigru (gru)" in page.read_text("utf-8")


@pytest.mark.parametrize(("task", "unit"), [("tagging", "tokens"), ("regression", "sequences")])
def test_tables_say_what_was_counted(
    task: str,
    unit: str,
    run_cli: RunCli,
    task_runs: Mapping[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = Run.open(task_runs[task])
    summary = read_summary(run)
    assert summary is not None
    print_summary(Console(), summary, run)
    assert capsys.readouterr().out.startswith(f"test ({summary.score.examples:,} {unit})")
    assert f" test ({summary.score.examples:,} {unit}) " in run_cli("compare", run.path).out


def test_runs_of_other_tasks_have_gaps_and_fit_a_terminal(
    run_cli: RunCli, task_runs: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run_cli("compare", task_runs["regression"], task_runs["tagging"])
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "–" in done.out
    assert "…" not in done.out
    refused(run_cli("compare", task_runs["tagging"], task_runs["tagging"]), ["a run was given twice"])
    refused(run_cli("compare", task_runs["tagging"].parent), ["is not a run"])
