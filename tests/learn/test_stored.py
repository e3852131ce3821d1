"""Training from a memory-mapped Arrow file: equal to training from memory, in several chunks, and resumed."""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.random import Generator
from pyarrow import feather

from tests.training.test_resume import check_same, signalled
from throughtime.data import stored_examples, stored_table, table
from throughtime.data.examples import Examples
from throughtime.data.read_table import read_table
from throughtime.data.stored_examples import StoredExamples
from throughtime.data.stored_table import StoredTable
from throughtime.errors import DataError
from throughtime.learn import Fitted, Predictor, fit_recipe, prepare, reading
from throughtime.learn.bounded import in_memory
from throughtime.learn.options import FileOptions
from throughtime.learn.recipe import Recipe
from throughtime.learn.summary import Summary, summarize
from throughtime.training import Run

ROWS = 90
SMALL = {"epochs": 2, "tokens_per_batch": 64, "min_count": 1, "embedding_size": 8}
CNN = {**SMALL, "channels": 8, "kernel_sizes": (1, 2)}


def _words(random: Generator, count: int) -> str:
    return " ".join(random.choice(["good", "bad", "Film", "play", "été"], count))


def _row(random: Generator, label: int) -> dict[str, Any]:
    steps = int(random.integers(2, 12))
    tokens = random.integers(0, 9, steps) + 3 * label
    series = random.normal(label, 1 + label, (steps, 2))
    return {
        "tokens": tokens.tolist(),
        "text": ["good", "bad"][label] + " " + _words(random, steps),
        "title": None if steps == 3 else _words(random, 2),
        "series": [[None if random.random() < 0.1 else float(x) for x in step] for step in series],
        "price": None if steps == 4 else float(random.normal(label)),
        "label": ["no", "yes"][label],
        "value": float(steps + label),
        "tags": ["odd" if token % 2 else "even" for token in tokens],
        "labels": [name for name in ("long", "high") if (steps > 6 if name == "long" else label)],
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several batches, the third of which is empty."""
    random = np.random.default_rng(0)
    whole = pa.Table.from_pylist([_row(random, i % 2) for i in range(ROWS)])
    whole = whole.set_column(
        whole.schema.get_field_index("label"), "label", whole.column("label").dictionary_encode()
    )
    file = tmp_path_factory.mktemp("data") / "rows.arrow"
    with pa.ipc.new_file(file, whole.schema) as writer:
        for start, stop in ((0, 40), (40, 47), (47, 47), (47, ROWS)):
            writer.write_table(whole.slice(start, stop - start))
    return file


@pytest.fixture(autouse=True)
def chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stored chunks small, and of other sizes than those in memory."""
    monkeypatch.setattr(stored_table, "_CHUNK_BYTES", 4000)
    monkeypatch.setattr(stored_examples, "_TOKENS_PER_CHUNK", 50)
    monkeypatch.setattr(table, "CHUNK_ROWS", 31)


@dataclass(frozen=True)
class Case:
    task: str
    model: str
    columns: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Any] = field(default_factory=lambda: CNN)

    def fitted(self, path: Path, folder: Path, *, stored: bool, **more: Any) -> Fitted:
        recipe = self.recipe(stored)
        return fit_recipe(recipe, path, out=folder, progress=False, device="cpu", **more)

    def recipe(self, stored: bool) -> Recipe:
        return Recipe.of(self.task, self.model, **self.columns, **self.options, memory_map=stored)


LABEL, STEPS = {"target": ("label",)}, {"series": ("series",), "missing": "mean"}
CONVOLUTIONS = {"epochs": 2, "tokens_per_batch": 64, "channels": (8, 8, 8), "kernel_sizes": (3, 3, 3)}
CASES = {
    "event ids": Case("classification", "textcnn", {"tokens": ("tokens",), **LABEL}),
    "words": Case(
        "classification",
        "textcnn",
        {"text": ("title", "text"), **LABEL, "numeric": ("price",)},
        {**CNN, "missing": "mask", "class_weight": "balanced"},
    ),
    "characters": Case(
        "classification",
        "textcnn",
        {"text": ("title", "text"), **LABEL},
        {**CNN, "tokenizer": "characters", "group": "value"},
    ),
    "byte pairs": Case(
        "classification",
        "textcnn",
        {"text": ("text",), **LABEL},
        {**CNN, "tokenizer": "bpe", "vocabulary": 300},
    ),
    "windows": Case(
        "classification",
        "textcnn",
        {"text": ("text",), **LABEL},
        {**CNN, "max_length": 4, "longer": "windows"},
    ),
    "series": Case("regression", "fcn", {**STEPS, "target": ("value",)}, CONVOLUTIONS),
    "tags": Case(
        "tagging", "bilstm", {"tokens": ("tokens",), "target": ("tags",)}, {**SMALL, "hidden_size": 8}
    ),
    "labels": Case("multilabel", "textcnn", {"tokens": ("tokens",), "target": ("labels",)}),
    "anomalies": Case("anomaly", "auto", {"tokens": ("tokens",), **LABEL}, {**SMALL, "hidden_size": 8}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stored_file_trains_as_one_in_memory(name: str, path: Path, tmp_path: Path) -> None:
    case = CASES[name]
    memory = case.fitted(path, tmp_path / "memory", stored=False)
    stored = case.fitted(path, tmp_path / "stored", stored=True)
    assert isinstance(memory.prepared.source.training(0), Examples)
    assert isinstance(stored.prepared.source.training(0), StoredExamples)
    check_same(stored.result.run, memory.result.run)
    assert stored.prepared.source.describe() == memory.prepared.source.describe()
    assert stored.prepared.notes == memory.prepared.notes
    _check_baselines(*(summarize(fitted.prepared, fitted.result.run) for fitted in (stored, memory)))
    assert stored.predictor is not None
    assert memory.predictor is not None
    assert stored.predictor.predict(path) == memory.predictor.predict(path)
    assert stored.predictor.score(path) == memory.predictor.score(path)


def _check_baselines(found: Summary | None, expected: Summary | None) -> None:
    """Check that baselines, which are measured in parts, differ by rounding only."""
    assert found is not None
    assert expected is not None
    assert found.score == expected.score
    assert len(found.baselines) == len(expected.baselines) > 0
    for stored, memory in zip(found.baselines, expected.baselines, strict=True):
        assert (stored.name, stored.rows) == (memory.name, memory.rows)
        assert stored.score.figures == pytest.approx(memory.score.figures, rel=1e-12)


def test_a_stored_training_resumes_to_the_same_weights(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["event ids"]
    whole = case.fitted(path, tmp_path / "whole", stored=True).result.run
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", whole.metrics.history[0].steps + 2)
        assert case.fitted(path, tmp_path / "run", stored=True).result.interrupted
    # The description of the data is the same, so that it may go on in memory.
    assert not case.fitted(path, tmp_path / "run", stored=False, resume=True).result.interrupted
    check_same(Run.open(tmp_path / "run"), whole)


def test_only_the_rows_of_a_batch_are_loaded(path: Path) -> None:
    prepared = prepare(CASES["event ids"].recipe(stored=True), path)
    training = prepared.source.training(0)
    before = pa.total_allocated_bytes()
    column = StoredTable.of(read_table(path, memory_map=True)).column("tokens")
    assert pa.total_allocated_bytes() - before < 2**12, "a column of all rows stays in the file"
    batch = training.select(torch.tensor([5, 2]))
    assert prepared.rows is not None
    rows = prepared.rows.training[[5, 2]]
    names = prepared.encoder.inputs.token_names
    expected = [[str(token) for token in column[int(row)].as_py()] for row in rows]
    assert [[names[i] for i in row.tolist()] for row in batch.inputs.to_list()] == expected


def test_a_subset_in_memory_has_a_limited_number_of_tokens(path: Path) -> None:
    training = prepare(CASES["event ids"].recipe(stored=True), path).source.training(0)
    subset = in_memory(training, most=100)
    assert 80 < int(subset.lengths.sum()) <= 100
    assert len(in_memory(training, most=1)) == 1
    assert torch.equal(in_memory(training).lengths, training.lengths)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tokens", [], "{}: row 41 has no tokens in column 'tokens'; "),
        ("tokens", [3, None], "{}: row 41 has no token at position 2 of column 'tokens'"),
        ("label", None, "{}: row 41 has no label in column 'label'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(
    column: str, value: Any, message: str, path: Path, tmp_path: Path
) -> None:
    rows = read_table(path).content.to_pylist()
    rows[40][column] = value
    wrong = pa.Table.from_pylist(rows)
    with pa.ipc.new_file(tmp_path / "wrong.arrow", wrong.schema) as writer:
        writer.write_table(wrong, max_chunksize=20)
    with pytest.raises(DataError, match=re.escape(message.format(tmp_path / "wrong.arrow"))):
        prepare(CASES["event ids"].recipe(stored=True), tmp_path / "wrong.arrow")


def test_blank_rows_of_a_file_are_skipped(path: Path, tmp_path: Path) -> None:
    rows = read_table(path).content.to_pylist()
    for row in (3, 44, 80):
        rows[row]["tokens"] = []
    blank = pa.Table.from_pylist(rows)
    with pa.ipc.new_file(tmp_path / "blank.arrow", blank.schema) as writer:
        writer.write_table(blank, max_chunksize=20)
    described = [
        prepare(CASES["event ids"].recipe(stored).changed(skip_blank=True), tmp_path / "blank.arrow")
        for stored in (True, False)
    ]
    assert described[0].source.describe() == described[1].source.describe()
    assert described[0].source.describe()["rows"] == ROWS - 3


def test_lists_of_dictionaries_are_decoded(tmp_path: Path) -> None:
    """Batches with different dictionaries, as writers of categories make them."""
    kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    file = tmp_path / "categories.arrow"
    with pa.ipc.new_stream(file, pa.schema({"tokens": kind})) as writer:
        for words in (["a", "b"], ["c", "a"]):
            items = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.int8()), words)
            lists = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), items)
            writer.write_batch(pa.record_batch([lists.cast(kind)], ["tokens"]))
    stored = StoredTable.of(read_table(file, memory_map=True))
    assert stored.select(np.array([3, 0])).loaded().column("tokens").to_pylist() == [["a"], ["a", "b"]]
    assert stored.select(np.array([2])).column("tokens").to_pylist() == [["c", "a"]]
    renamed = stored.select(np.array([2]))
    renamed = replace(renamed, content=renamed.content.rename_columns(["words"]))
    assert renamed.loaded().content.to_pydict() == {"words": [["c", "a"]]}


def test_a_file_too_large_for_memory_is_mapped_unless_forbidden(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = path.stat().st_size
    for largest, option, mapped in (
        (size, None, False),
        (size - 1, None, True),
        (size - 1, False, False),
        (size, True, True),
    ):
        monkeypatch.setattr(reading, "LARGEST", largest)
        rows = reading.read_rows(path, FileOptions(memory_map=option))
        assert isinstance(rows, StoredTable) == mapped
        assert rows.loaded().content.equals(read_table(path).content)


def test_a_file_that_cannot_be_mapped_is_not_read_silently(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\nto be,a\n", encoding="utf-8")
    assert len(reading.read_rows(data, FileOptions())) == 1
    with pytest.raises(DataError, match=r"data.csv: memory_map= \(--memory-map\) is for .arrow, .feather"):
        reading.read_rows(data, FileOptions(memory_map=True))


def test_predictions_of_a_file_are_those_of_its_rows(path: Path, tmp_path: Path) -> None:
    fitted = CASES["series"].fitted(path, tmp_path / "run", stored=True)
    predictor = Predictor.of(fitted.result.run)
    rows = read_table(path)
    expected = predictor.predict(rows)
    assert predictor.predict(path) == expected
    pq.write_table(rows.content, tmp_path / "rows.parquet")
    feather.write_feather(rows.content, tmp_path / "compressed.feather")
    for other in ("rows.parquet", "compressed.feather"):
        assert predictor.predict(tmp_path / other) == expected
    assert predictor.predict(StoredTable.of(read_table(path, memory_map=True))) == expected
