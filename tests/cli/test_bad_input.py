"""Every bad input of the command line: one line that names the place, exit code 2, nothing written."""

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.toy import relist

from .conftest import Outcome, RunCli


def rows(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def good_rows(count: int = 20) -> str:
    words = {"yes": "good fine great", "no": "bad poor awful"}
    lines = [f"{words[label].split()[i % 3]} thing {i},{label}" for i in range(count) for label in words]
    return "words,kind\n" + "\n".join(lines) + "\n"


Make = Callable[[Path], Path]


def _write(name: str, content: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def _folder(files: dict[str, bytes]) -> Make:
    def make(folder: Path) -> Path:
        for name, content in files.items():
            path = folder / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder / "data"

    return make


def _parquet(columns: dict[str, list[object]]) -> Make:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "data.parquet")
        return folder / "data.parquet"

    return make


GOOD = good_rows()
JSON = "".join(f'{{"words": "thing {i}", "kind": "{kind}"}}\n' for i in range(10) for kind in "ab")
BAD_DATA: dict[str, tuple[Make, list[str]]] = {
    "no such file": (lambda folder: folder / "none.csv", ["none.csv does not exist"]),
    "unknown suffix": (_write("data.xlsx", "x"), ["data.xlsx", "'.xlsx'", ".csv"]),
    "plain text": (_write("book.txt", "to be"), ["book.txt has no column 'kind'", "'text'"]),
    "empty file": (_write("data.csv", ""), ["data.csv is empty"]),
    "header alone": (_write("data.csv", "words,kind\n"), ["data.csv has no rows"]),
    "missing text column": (_write("data.csv", "text,kind\na,b\n"), ["no column 'words'", "'text', 'kind'"]),
    "missing label column": (_write("data.tsv", "words\tlabel\na\tb\n"), ["no column 'kind'", "'label'"]),
    "one class": (
        _write("data.csv", "words,kind\na b,x\nc d,x\ne f,x\n"),
        ["all 3 rows", "'x'", "two classes"],
    ),
    "rare class": (_write("data.csv", GOOD + "lonely,rare\n"), ["class 'rare' has 1 row", "row 41"]),
    "not UTF-8": (
        _write("data.csv", b"words,kind\nfine,yes\ncaf\xe9,no\n"),
        ["data.csv: line 3, byte 23 (0xe9) is not UTF-8"],
    ),
    "no text": (_write("data.csv", GOOD + "  ,yes\n"), ["data.csv: row 41 has no text"]),
    "no label": (_write("data.csv", GOOD + "hello,\n"), ["data.csv: row 41 has no label", "'kind'"]),
    "ragged row": (
        _write("data.csv", GOOD + "a,b,c\n"),
        ["data.csv is malformed", "expected 2 columns, got 3"],
    ),
    "no JSON": (
        _write("data.jsonl", '{"words": "a", "kind": "b"}\n{oops\n'),
        ["data.jsonl: line 2 is not JSON"],
    ),
    "no JSON object": (_write("data.jsonl", "[1, 2]\n"), ["data.jsonl: line 1", "list"]),
    "missing JSON key": (
        _write("data.jsonl", '{"words": "a"}\n'),
        ["data.jsonl has no column 'kind'", "'words'"],
    ),
    "JSON null": (
        _write("data.jsonl", JSON + '{"words": null, "kind": "b"}\n'),
        ["data.jsonl: line 21 has no text"],
    ),
    "JSON number": (
        _write("data.jsonl", JSON + '{"words": 7, "kind": "b"}\n'),
        ["data.jsonl: line 21 has a number (7) in column 'words'"],
    ),
    "no Parquet": (_write("data.parquet", b"PAR1nonsense"), ["data.parquet cannot be read as Parquet"]),
    "missing Parquet column": (_parquet({"words": ["a"]}), ["no column 'kind'", "'words'"]),
    "Parquet null": (
        _parquet({"words": ["a b"] * 9 + [None], "kind": ["x", "y"] * 5}),
        ["data.parquet: row 10 has no text"],
    ),
}
_HEADER_OF_GZIP = gzip.compress(b"")[:10]
BAD_FOLDERS: dict[str, tuple[Make, list[str]]] = {
    "one subfolder": (_folder({f"a/{i}.txt": b"x" for i in range(9)}), ["all 9 rows", "'a'"]),
    "blank file": (
        _folder({f"{kind}/{i}.txt": b"x y" for kind in "ab" for i in range(9)} | {"b/9.txt": b" \n"}),
        ["9.txt has no text"],
    ),
    "file beside": (
        _folder({"a/1.txt": b"x", "note.txt": b"y"}),
        ["note.txt is a file, but", "must have only class folders"],
    ),
    "not UTF-8 file": (_folder({"a/1.txt": b"x\n\xff", "b/2.txt": b"y"}), ["1.txt: line 2, byte 2"]),
    "no files": (_folder({".hidden": b"x"}), ["no files in subfolders"]),
}


def refused(outcome: Outcome, parts: list[str]) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    for part in parts:
        assert part in outcome.err


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_tables_are_refused(name: str, tmp_path: Path, run_cli: RunCli) -> None:
    make, parts = BAD_DATA[name]
    data = make(tmp_path)
    out = tmp_path / "run"
    refused(run_cli("train", data, "--text", "words", "--target", "kind", "--out", out), parts)
    assert not out.exists()
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_are_refused(name: str, tmp_path: Path, run_cli: RunCli) -> None:
    make, parts = BAD_FOLDERS[name]
    refused(run_cli("train", make(tmp_path), "--out", tmp_path / "run"), parts)
    assert not (tmp_path / "run").exists()


def test_columns_are_asked_for(tmp_path: Path, run_cli: RunCli) -> None:
    data = rows(tmp_path / "data.csv", GOOD)
    refused(run_cli("train", data, "--text", "words", "--out", tmp_path / "run"), ["--target"])
    refused(
        run_cli("train", data, "--target", "kind", "--out", tmp_path / "run"),
        ["text= (--text), tokens= (--tokens) or series= (--series)"],
    )


def test_an_output_folder_in_use_is_left_alone(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    data = rows(tmp_path / "data.csv", GOOD)
    before = {path: path.read_bytes() for path in text_run.iterdir()}
    options = ("train", data, "--text", "words", "--target", "kind", "--out")
    refused(run_cli(*options, text_run), ["already holds a run", "--resume"])
    assert {path: path.read_bytes() for path in text_run.iterdir()} == before
    other = tmp_path / "other"
    other.mkdir()
    rows(other / "mine.txt", "keep")
    refused(run_cli(*options, other), ["is a folder with other files"])
    refused(run_cli(*options, other / "mine.txt"), ["is a file"])
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    refused(run_cli("demo", "--out", other), ["mine.txt, which is not a file of a demo"])
    refused(run_cli("demo", "--out", other / "mine.txt"), ["is a file"])


@pytest.mark.parametrize("command", ["train", "predict"])
def test_a_folder_that_is_no_run(command: str, tmp_path: Path, run_cli: RunCli) -> None:
    data = rows(tmp_path / "data.csv", GOOD)
    folder = tmp_path / "folder"
    folder.mkdir()
    if command == "train":
        args = ["train", data, "--text", "words", "--target", "kind", "--resume", "--out"]
        refused(run_cli(*args, folder), ["folder is not a run", "run.json"])
        refused(run_cli(*args, tmp_path / "none"), ["none does not exist"])
    else:
        refused(run_cli("predict", folder, data), ["folder is not a run", "run.json"])
        refused(run_cli("predict", data, data), ["data.csv is a file, not a run"])
        refused(run_cli("predict", tmp_path / "none", data), ["none does not exist"])


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, -1])
def test_weights_cut_short(kept: float, tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(text_run, damaged)
    weights = (damaged / "model.safetensors").read_bytes()
    stop = int(len(weights) * kept) if isinstance(kept, float) else kept
    (damaged / "model.safetensors").write_bytes(weights[:stop])
    data = rows(tmp_path / "data.csv", GOOD)
    refused(run_cli("predict", damaged, data), ["model.safetensors"])


def test_other_damage_to_a_run(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    data = rows(tmp_path / "data.csv", GOOD)
    for name, content, parts in (
        ("config.json", "{", ["config.json"]),
        ("config.json", "{}", ["config.json", "is missing"]),
        ("run.json", '{"format": "other", "version": 1}', ["run.json"]),
        ("run.json", '{"format": "throughtime-run", "version": 99}', ["99", "upgrade"]),
        ("tokenizer.json", "{}", ["tokenizer.json"]),
        ("tokenizer.json", None, ["tokenizer.json"]),
        ("model.safetensors", None, ["model.safetensors"]),
    ):
        damaged = tmp_path / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(text_run, damaged)
        if content is None:
            (damaged / name).unlink()
        else:
            rows(damaged / name, content)
        refused(run_cli("predict", damaged, data), [name if name != "run.json" else "run"])
        relist(damaged)
        refused(run_cli("predict", damaged, data), parts)


def test_entries_of_a_run_that_the_command_needs(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    damaged, data = tmp_path / "damaged", rows(tmp_path / "data.csv", GOOD)
    shutil.copytree(text_run, damaged)
    config = json.loads((damaged / "config.json").read_text())
    recipe = config["recipe"]
    commands = (
        ("train", data, "--resume", "--out", damaged),
        ("predict", damaged, data),
        ("diagnose", damaged, data),
    )

    def write(**changes: object) -> None:
        rows(damaged / "config.json", json.dumps(config | {"recipe": recipe | changes}))
        relist(damaged)

    for name in ("columns", "split", "inputs", "files"):
        group = recipe["options"][name]
        entry = next(iter(group))
        for wrong in (group | {entry: {}}, {key: value for key, value in group.items() if key != entry}, 3):
            write(options=recipe["options"] | {name: wrong})
            for command in commands:
                refused(run_cli(*command), ["config.json is damaged", f"recipe.{name}"])
    for wrong in (None, {"inputs": 3}, recipe["encoder"] | {"inputs": {"kind": "waves"}}):
        write(encoder=wrong)
        for command in commands[1:]:
            refused(run_cli(*command), ["config.json is damaged"])
    write(kind="other")
    refused(run_cli("predict", damaged, data), ["which reads no tables"])


def test_bad_data_at_prediction(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    unseen = rows(tmp_path / "unseen.csv", "words,kind\ngood,yes\nwhat,maybe\n")
    refused(
        run_cli("predict", text_run, unseen, "--target", "kind"), ["unseen.csv: row 2", "'maybe'", "no, yes"]
    )
    refused(run_cli("predict", text_run, unseen, "--text", "none"), ["no column 'none'"])
    blank = rows(tmp_path / "lines.txt", "good\n\nbad\n")
    refused(run_cli("predict", text_run, blank), ["lines.txt: line 2 has no text"])
    refused(run_cli("predict", text_run, blank, "--target", "kind"), ["lines.txt has no column 'kind'"])
    refused(run_cli("predict", text_run, tmp_path / "none.txt"), ["none.txt does not exist"])
    refused(run_cli("predict", text_run, rows(tmp_path / "empty.txt", "")), ["empty.txt is empty"])
    packed = tmp_path / "data.csv.gz"
    for content in (b"words\ngood\n", _HEADER_OF_GZIP, _HEADER_OF_GZIP + b"\xff" * 20):
        packed.write_bytes(content)
        refused(run_cli("predict", text_run, packed), ["data.csv.gz cannot be read as gzip"])


def test_resume_with_other_data_or_options(
    tmp_path: Path, run_cli: RunCli, text_run: Path, code_run: Path
) -> None:
    other = rows(tmp_path / "data.csv", good_rows(21))
    refused(
        run_cli("train", other, "--out", text_run, "--resume"), ["was created with shape.vocabulary_size = "]
    )
    same = rows(tmp_path / "data.csv", GOOD)
    options = ("train", same, "--out", text_run, "--resume")
    refused(run_cli(*options, "--learning-rate", "9"), ["settings.learning_rate = 0.002, now it is 9"])
    refused(
        run_cli(*options, "--model", "bigru"),
        ["is a run of task classification", "leave out --task and --model"],
    )
    refused(run_cli("train", same, "--out", code_run, "--resume"), ["config.json"])
    outcome = run_cli(*options)
    assert outcome.code == 0
    assert "is already finished" in outcome.out


def test_python_files_that_cannot_be_read(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    cases: list[tuple[str, bytes, list[str]]] = [
        ("open.py", b"x = (1 +\n", ["open.py: Python cannot parse it"]),
        ("latin.py", b"x = 1 + 2\ny = '\xe9'\n", ["latin.py", "line 2", "not UTF-8"]),
    ]
    for name, content, parts in cases:
        path = tmp_path / name
        path.write_bytes(content)
        refused(run_cli("predict", code_run, path), parts)
    refused(run_cli("predict", code_run, tmp_path / "none.py"), ["none.py does not exist"])
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(run_cli("predict", code_run, empty), ["no .py files"])
    refused(
        run_cli("predict", code_run, tmp_path / "open.py", "--target", "x"),
        ["reads Python files; leave out --target"],
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written(tmp_path: Path, run_cli: RunCli) -> None:
    data = rows(tmp_path / "data.csv", GOOD)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    refused(
        run_cli("train", data, "--text", "words", "--target", "kind", "--out", closed / "run"), ["closed"]
    )


def test_json_lines_are_json(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    lines = rows(tmp_path / "lines.txt", "a good thing\nan awful, awful thing\n")
    outcome = run_cli("predict", text_run, lines, "--format", "jsonl")
    assert outcome.code == 0
    found = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["row"] for row in found] == [1, 2]
    for row in found:
        probabilities = {kind: row[f"probability_{kind}"] for kind in ("no", "yes")}
        assert abs(sum(probabilities.values()) - 1) < 1e-9
        assert row["label"] == max(probabilities, key=probabilities.__getitem__)
        assert row["probability"] == max(probabilities.values())
