"""The output of ``throughtime predict`` without errors."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from throughtime.learn import load
from throughtime.tasks import METRICS

from .conftest import TARGETS, TASKS, RunCli, rows_of_all_tasks, write_csv
from .test_bad_input import refused

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
    outcome = run_cli("predict", code_run, tmp_path / "package", "--format", "jsonl")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert {row["operator"] for row in rows} == {*PLACES, "*"}
    for row in rows:
        assert 0 < row["score"] < 1
        assert row["rather"] != row["operator"]
        if row["operator"] in PLACES:
            assert f"{row['line']}:{row['column']}" == PLACES[row["operator"]]
    best = run_cli("predict", code_run, tmp_path / "package", "--format", "jsonl", "--top", "1")
    assert [json.loads(line) for line in best.out.splitlines()] == rows[:1]


def test_a_higher_prior_means_higher_scores(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("r = p * q\n", encoding="utf-8")

    def odds(prior: float) -> float:
        score = json.loads(run_cli("predict", code_run, path, "--format", "jsonl", "--prior", prior).out)[
            "score"
        ]
        return score / (1 - score)

    assert abs(odds(0.5) / odds(0.01) - 99) < 1e-6


@pytest.mark.parametrize("task", TASKS)
def test_every_format_has_the_predictions_of_load(
    task: str, tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path]
) -> None:
    run, data = task_runs[task], task_runs[task].parent / "data.csv"
    expected = load(run).predictions(data)
    rows = len(next(iter(expected.values())))

    def in_file(name: str) -> Path:
        done = run_cli("predict", run, data, "--id", "key", "--out", tmp_path / name)
        assert (done.code, done.out, done.err) == (0, "", f"saved in {tmp_path / name}\n")
        return tmp_path / name

    table = pq.read_table(in_file("a.parquet"))
    assert table.column_names == ["row", "key", *expected]
    assert table.column("row").to_pylist() == list(range(1, rows + 1))
    assert table.column("key").to_pylist() == [f"{number:03}" for number in range(rows)]
    assert {name: table.column(name).to_pylist() for name in expected} == expected
    lines = [json.loads(line) for line in in_file("a.jsonl").read_text("utf-8").splitlines()]
    assert lines == table.to_pylist()
    with in_file("a.csv").open(newline="", encoding="utf-8") as file:
        for row, cells in zip(lines, csv.DictReader(file), strict=True):
            assert list(cells) == list(row)
            for name, value in row.items():
                assert cells[name] == (json.dumps(value) if isinstance(value, list) else str(value))
    assert run_cli("predict", run, data, "--id", "key").out == (tmp_path / "a.csv").read_text("utf-8")


@pytest.mark.parametrize("task", TASKS)
def test_the_metrics_are_those_of_score(task: str, run_cli: RunCli, task_runs: Mapping[str, Path]) -> None:
    run, data = task_runs[task], task_runs[task].parent / "data.csv"
    done = run_cli("predict", run, data, "--target", TARGETS[task], "--format", "jsonl")
    assert done.code == 0
    head, *lines = done.err.splitlines()
    expected = load(run).score(data)
    assert lines == [
        f"{METRICS[name].title}: {METRICS[name].text(value)}" for name, value in expected.items()
    ]
    truth = [row[TARGETS[task]] for row in rows_of_all_tasks()]
    assert head == f"metrics on {len(truth)} rows"
    assert [json.loads(line)["truth"] for line in done.out.splitlines()] == truth


def test_int8_predictions_and_metrics_are_those_of_the_quantized_run(run_cli: RunCli, text_run: Path) -> None:
    data, run = text_run.parent / "data.csv", load(text_run)
    done = run_cli("predict", text_run, data, "--target", "kind", "--format", "jsonl", "--int8")
    expected = run.quantize().predictions(data)
    assert expected != run.predictions(data)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert {name: [row[name] for row in rows] for name in expected} == expected
    assert done.err.splitlines()[1:] == [
        f"{METRICS[name].title}: {METRICS[name].text(value)}"
        for name, value in run.quantize().score(data).items()
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("width", [80, 60])
def test_a_table_has_the_predictions_and_cuts_the_text(
    task: str, width: int, tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path], monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = rows_of_all_tasks(9)
    rows[3]["words"] += " good bad" * 100
    data = write_csv(tmp_path / "long.csv", rows)
    done = run_cli("predict", task_runs[task], data, "--format", "table", "--id", "key")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= width
    expected = load(task_runs[task]).predictions(data)
    main = next(iter(expected))
    assert lines[0].replace("┃", " ").split()[:2] == ["row", main]
    cells = [[cell.strip() for cell in line.split("│")] for line in lines[2:]]
    firsts = {int(row[0]): row for row in cells if row[0]}
    assert list(firsts) == list(range(1, 10))
    for number, answer in enumerate(expected[main], 1):
        shown = firsts[number][1]
        if isinstance(answer, bool):
            assert shown == ("yes" if answer else "no")
        elif isinstance(answer, float):
            assert shown == f"{answer:.4g}"
        elif isinstance(answer, list):
            assert " ".join(map(str, answer)).startswith(shown)
        else:
            assert shown == answer
    if task != "tagging":
        assert firsts[4][-1].endswith("…")


def test_columns_of_other_names_are_read_and_checked(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("review,words,label\nbad thing,x,no\ngood thing,y,yes\n", encoding="utf-8")
    done = run_cli("predict", text_run, data, "--input", "review", "--format", "jsonl")
    assert [json.loads(line)["label"] for line in done.out.splitlines()] == ["no", "yes"]
    refused(
        run_cli("predict", text_run, data, "--text", "reviews"), ["no column 'reviews'", "'review', 'words'"]
    )
    refused(run_cli("predict", text_run, data, "--text", "words,review"), ["reads 1 column (words)"])
    refused(run_cli("predict", text_run, data, "--id", "label"), ["--id label: the output has a column"])
    refused(run_cli("predict", text_run, data, "--id", "no"), ["no column 'no'"])
    refused(run_cli("predict", text_run, data, "--format", "parquet"), ["give --out FILE.parquet"])
    refused(run_cli("predict", text_run, data, "--out", tmp_path / "a.xlsx"), ["ends in .csv, .jsonl or"])
    refused(run_cli("predict", text_run, data, "--out", data), ["data.csv exists already"])
    refused(run_cli("predict", text_run, data, "--input-format", "csv"), ["is for standard input"])
    out = tmp_path / "a.parquet"
    data.write_text("words\nbad thing\n  \n", encoding="utf-8")
    refused(run_cli("predict", text_run, data, "--out", out), ["data.csv: row 2 has no text"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv"]
    done = run_cli("predict", text_run, data, "--skip-blank")
    assert [line.split(",")[:2] for line in done.out.splitlines()] == [["row", "label"], ["1", "no"]]


def test_a_pipe_has_the_format_of_its_input(
    tmp_path: Path, run_cli: RunCli, text_run: Path, monkeypatch: Any
) -> None:
    def answer(content: str, *options: object) -> list[str]:
        stdin = io.TextIOWrapper(io.BytesIO(content.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        done = run_cli("predict", text_run, "-", *options)
        assert (done.code, done.err) == (0, "")
        return done.out.splitlines()

    plain = answer("good thing\r\nbad thing\n")
    assert [line.split(",")[:2] for line in plain] == [["row", "label"], ["1", "yes"], ["2", "no"]]
    assert answer('words,id\ngood thing,1\n"bad, bad\nthing",2\n', "--input-format", "csv")[0] == plain[0]
    lines = answer('{"words": "good thing", "n": 7}\n\n{"words": "bad thing"}\n', "--input-format", "jsonl")
    assert [json.loads(line)["label"] for line in lines] == ["yes", "no"]
    lines = answer('{"words": "good thing", "n": 7}\n', "--input-format", "jsonl", "--id", "n")
    assert json.loads(lines[0])["n"] == 7


def test_rows_are_answered_as_they_arrive(text_run: Path) -> None:
    command = [sys.executable, "-m", "throughtime", "predict", str(text_run), "-", "--format", "jsonl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, text in enumerate(("good thing", "bad thing"), 1):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()  # the pipe stays open
            answer = json.loads(process.stdout.readline())
            assert (answer["row"], answer["label"]) == (number, "yes" if number == 1 else "no")
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_a_run_of_the_demo_takes_no_options_of_rows(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text(CODE, encoding="utf-8")
    refused(run_cli("predict", code_run, path, "--target", "x"), ["reads Python files; leave out --target"])
    refused(run_cli("predict", code_run, path, "--format", "csv"), ["--format jsonl; leave out other"])
