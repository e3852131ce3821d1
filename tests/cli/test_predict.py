"""The output of ``throughtime predict`` without errors."""

import json
from pathlib import Path

from .conftest import RunCli

CODE = 'x = "ü"  # é\nif a is \\\n   not b and c\x0c< d:\n    y = x + z\n'
PLACES = {"is not": "2:6", "and": "3:10", "<": "3:16", "+": "4:11"}


def test_operators_are_marked_where_they_stand(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text(CODE, encoding="utf-8")
    outcome = run_cli("predict", code_run, path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[-1].startswith("4 of 4 operators")
    heads, marked = lines[0:8:2], lines[1:8:2]
    scores = [float(head.split()[0]) for head in heads]
    assert scores == sorted(scores, reverse=True)
    found = {}
    for head, line in zip(heads, marked, strict=True):
        operator = line[line.index("»") + 1 : line.index("«")]
        found[operator] = head.split()[1].removeprefix(f"{path}:")
        assert " rather " in head
    # Of an operator on two lines, the first shows what is there of it.
    assert {key.split()[0]: place for key, place in found.items()} == {
        key.split()[0]: place for key, place in PLACES.items()
    }


def test_json_has_the_same_and_a_folder_has_all(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    folder = tmp_path / "package" / "inner"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "package" / "b.py").write_text("r = p * q\n", encoding="utf-8")
    outcome = run_cli("predict", code_run, tmp_path / "package", "--jsonl")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert {row["operator"] for row in rows} == {*PLACES, "*"}
    for row in rows:
        assert 0 < row["score"] < 1
        assert row["rather"] != row["operator"]
        if row["operator"] in PLACES:
            assert f"{row['line']}:{row['column']}" == PLACES[row["operator"]]
    best = run_cli("predict", code_run, tmp_path / "package", "--jsonl", "--top", "1")
    assert [json.loads(line) for line in best.out.splitlines()] == rows[:1]


def test_a_higher_prior_means_higher_scores(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("r = p * q\n", encoding="utf-8")

    def odds(prior: float) -> float:
        score = json.loads(run_cli("predict", code_run, path, "--jsonl", "--prior", prior).out)["score"]
        return score / (1 - score)

    assert abs(odds(0.5) / odds(0.01) - 99) < 1e-6


def test_texts_get_labels_and_the_share_that_is_right(
    tmp_path: Path, run_cli: RunCli, text_run: Path
) -> None:
    path = tmp_path / "data.csv"
    path.write_text("words,kind\ngood thing,yes\nbad thing,no\n", encoding="utf-8")
    outcome = run_cli("predict", text_run, path, "--label", "kind")
    assert outcome.code == 0
    assert outcome.err.endswith("%)\n")
    assert "of 2 correct" in outcome.err
    rows = [line.split("│") for line in outcome.out.splitlines() if "thing" in line]
    assert [(row[0].strip(), row[3].strip()) for row in rows] == [("1", "yes"), ("2", "no")]
    assert run_cli("predict", text_run, path).err == ""
