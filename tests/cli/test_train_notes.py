"""Notes of ``throughtime train`` on rows that it leaves out."""

from pathlib import Path

import pytest

from .conftest import RunCli, rows_of_all_tasks, write_csv


@pytest.mark.parametrize("folds", [(), ("--folds", 2)])
def test_rows_without_a_target_are_counted(
    folds: tuple[object, ...], tmp_path: Path, run_cli: RunCli
) -> None:
    rows = rows_of_all_tasks(40)
    rows[3]["kind"] = rows[8]["kind"] = ""
    data = write_csv(tmp_path / "data.csv", rows)
    options = ("--text", "words", "--target", "kind", "--missing-target", "drop", *folds)
    small = ("--model", "textcnn", "--epochs", 1, "--no-baselines", "--channels", 4, "--embedding-size", 4)
    outcome = run_cli("train", data, *options, *small, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    note = f"note: {data}: 2 rows without a target left out"
    assert [line for line in outcome.out.splitlines() if "without a target" in line] == [note]
