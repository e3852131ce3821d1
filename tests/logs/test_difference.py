"""What changed between two logs: new, gone, more and fewer, against counts and scipy."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from tests.cli.conftest import RunCli, run_cli
from throughtime.logs.difference import log_difference
from throughtime.logs.generated import FAULTS, generated_log

from .conftest import files_at, write_log

__all__ = ["run_cli"]


def _log(path: Path, **counts: int) -> Path:
    path.write_text("".join(f"INFO {name} happened here\n" * count for name, count in counts.items()))
    return path


def test_each_kind_of_change(tmp_path: Path) -> None:
    before = _log(tmp_path / "a.log", same=1000, more=20, fewer=90, gone=1, chance=30)
    after = _log(tmp_path / "b.log", same=1000, more=90, fewer=20, new=2, chance=33)
    difference = log_difference(files_at(before), files_at(after))
    found = [(t.change, t.text.split()[0], t.before, t.after) for t in difference.templates]
    assert found[:2] == [("new", "new", 0, 2), ("gone", "gone", 1, 0)]
    assert sorted(found[2:]) == [("fewer", "fewer", 90, 20), ("more", "more", 20, 90)]
    assert (difference.records, difference.total) == ((1141, 1145), 6)
    places = {t.change: (Path(t.file).name, t.line) for t in difference.templates}
    assert places["gone"] == ("a.log", 1111)
    assert places["new"] == ("b.log", 1111)


def test_p_values_are_those_of_scipy(tmp_path: Path) -> None:
    before, after = _log(tmp_path / "a.log", x=300, y=40), _log(tmp_path / "b.log", x=260, y=160)
    difference = log_difference(files_at(before), files_at(after))
    share = 420 / 760
    alone = [binomtest(b, a + b, share).pvalue for a, b in ((300, 260), (40, 160))]
    # Benjamini and Hochberg: the largest stays, the smallest is doubled.
    expected = {"x": max(alone), "y": min(2 * min(alone), max(alone))}
    for template in difference.templates:
        assert template.p_value == pytest.approx(expected[template.text[0]])
    assert [template.change for template in difference.templates] == ["more"] or len(
        difference.templates
    ) == 2


def test_logs_of_different_lengths_and_the_same_frequencies_are_equal(tmp_path: Path) -> None:
    before, after = _log(tmp_path / "a.log", x=300, y=40), _log(tmp_path / "b.log", x=600, y=80)
    assert log_difference(files_at(before), files_at(after)).templates == ()


def test_the_faults_of_a_generated_log_are_new(run_cli: RunCli, tmp_path: Path) -> None:
    normal = write_log(tmp_path / "normal.log", list(generated_log(100)))
    faulty = write_log(tmp_path / "faulty.log", list(generated_log(100, faults=FAULTS)))
    done = run_cli("logs", "diff", normal, faulty, "--format", "jsonl")
    assert done.code == 1
    rows = [json.loads(line) for line in done.out.splitlines()]
    new = {row["text"].rpartition(" - ")[2] for row in rows if row.get("change") == "new"}
    assert "<*> cart <*> could not be loaded KeyError" in new
    assert rows[-1]["kind"] == "summary"
    table = run_cli("logs", "diff", normal, faulty)
    assert "changed templates of " in table.out.splitlines()[-1]
    assert run_cli("logs", "diff", normal, normal).code == 0
    assert run_cli("logs", "diff", normal, tmp_path / "gone.log").code == 2
