"""Readers of the public data sets in the folder DATA that benchmarks take as an argument."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from throughtime.data.objects import as_table
from throughtime.data.table import Table
from throughtime.learn.options import FileOptions
from throughtime.learn.reading import read_rows

HDFS = ("hdfs100k/session_train.jsonl.gz", "hdfs100k/session_test.jsonl.gz")
VOWELS = ("vowels/JapaneseVowels_TRAIN.ts", "vowels/JapaneseVowels_TEST.ts")


@dataclass(frozen=True)
class Split:
    """The official parts of a data set, with columns ``label`` and ``text``, ``tokens`` or ``series``."""

    training: Table
    test: Table
    validation: Table | None = None


def trec_rows(path: Path) -> dict[str, list[str]]:
    """Return the questions of TREC and their labels: lines of a label, a space and a text, in latin-1."""
    lines = [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    labels, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
    return {"label": list(labels), "text": list(texts)}


def ucr_files(data: Path, name: str) -> tuple[Path, Path]:
    """Return the training and test files of a set of the UCR archive."""
    folder = data / "ucr" / name
    return folder / f"{name}_TRAIN.tsv", folder / f"{name}_TEST.tsv"


def trec(data: Path) -> Split:
    """Return TREC's questions with 6 types."""
    return Split(*(as_table(trec_rows(data / "trec" / f"TREC.{part}.all")) for part in ("train", "test")))


def stackoverflow(data: Path) -> Split:
    """Return titles of questions with one of 20 tags, divided 80 to 20 at random, by class, with seed 0."""
    names = {"text": "title", "label": "label"}
    lines = {
        column: (data / "stackoverflow" / f"{name}_StackOverflow.txt").read_text("utf-8").splitlines()
        for column, name in names.items()
    }
    return Split(*divided(as_table(lines)))


def hdfs(data: Path) -> Split:
    """Return log sessions as lists of event templates, labelled 1 if they are anomalous."""
    return Split(*(_renamed(_table(data / name), "templates", "tokens") for name in HDFS))


def poj104(data: Path) -> Split:
    """Return programs in C and C++ as texts, labelled with one of 104 problems; split 3 : 1 : 1."""
    folder = data / "poj104"
    programs = _renamed(_table(folder / "programs.jsonl.gz"), "code", "text")
    rows = json.loads((folder / "split_311_seed0.json").read_text("utf-8"))
    parts = (programs.select(np.array(rows[name])) for name in ("train", "test", "valid"))
    return Split(*parts)


def mnist1d(data: Path) -> Split:
    """Return series of 40 steps with one of 10 digits."""
    stored = np.load(data / "mnist1d" / "mnist1d.npz")
    return Split(*(as_table({"series": stored["x" + s], "label": stored["y" + s]}) for s in ("", "_test")))


def vowels(data: Path) -> Split:
    """Return series of 12 channels and unequal lengths with one of 9 speakers."""
    return Split(*(_table(data / name) for name in VOWELS))


def ucr(name: str) -> Callable[[Path], Split]:
    """Return the reader of a set of the UCR archive."""
    return lambda data: Split(*(_table(path) for path in ucr_files(data, name)))


def divided(table: Table) -> tuple[Table, Table]:
    """Return 80 and 20 % of the rows, at random, by class, with seed 0."""
    from sklearn.model_selection import train_test_split

    labels = table.column("label").to_pylist()
    parts = train_test_split(np.arange(len(table)), test_size=0.2, random_state=0, stratify=labels)
    training, held_out = (table.select(np.sort(rows)) for rows in parts)
    return training, held_out


def _table(path: Path) -> Table:
    return read_rows(path, FileOptions())


def _renamed(table: Table, column: str, name: str) -> Table:
    return as_table(table.content.select([column, "label"]).rename_columns([name, "label"]))
