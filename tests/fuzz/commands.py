"""The inputs of the commands: damaged data with an intact run, and damaged runs of every kind."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from tests.training.toy import relist
from throughtime.cli._diagnosis_data import DiagnosisColumns, read_diagnosis_data
from throughtime.cli._predict import predict
from throughtime.cli._predict_options import PredictOptions
from throughtime.cli._sample import SampleOptions, sample
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo import TASK
from throughtime.demo.operators.families import OPERATORS
from throughtime.learn import Recipe, prepare
from throughtime.tasks import Classification, NextStepTask
from throughtime.training import ModelSpec, Run, Settings

from .damage import changed_json, damaged
from .loaders import FILES, Loader
from .runs import RUNS, run_of

_WORKPLACE = TemporaryDirectory()
_FOLDER = Path(_WORKPLACE.name)
_DATA = {
    "classifier": "csv",
    "series classifier": "table of ts",
    "language model": "text",
    "frame model": "npz",
    "reviewer": "Python",
}
"""The data that each kind of run is used on."""


def _written(name: str, content: bytes, folder: Path) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------ runs


def _files_of(name: str) -> dict[str, bytes]:
    files = RUNS[name].beside
    assert files is not None
    return dict(files)


def _saved(run: Run) -> dict[str, bytes]:
    """Add a model to a run, and return its files."""
    torch.manual_seed(0)
    run.save_model(run.config.model.build(run.config.shape, run.config.task))
    return {file.name: file.read_bytes() for file in run.path.iterdir()}


def _series_classifier() -> dict[str, bytes]:
    rows = {"series": [[[1.0, 2.0], [3.0, float("nan")]]] * 8, "label": ["yes", "no"] * 4}
    recipe = Recipe.of("classification", "gru", hidden_size=2, missing="zero")
    return _saved(run_of(recipe, rows, _FOLDER / "of series"))


def _frame_model() -> dict[str, bytes]:
    data = _written("rolls.npz", FILES["npz"].valid[0], _FOLDER)
    sizes = {"hidden_size": 3, "embedding_size": 0, "streams": 2, "bptt": 4}
    recipe = Recipe.of("frames", validation=0.3, test=0.3, **sizes)
    return _saved(run_of(recipe, data, _FOLDER / "of frames"))


def _reviewer() -> dict[str, bytes]:
    """Return the files of a run of the demo."""
    vocabulary = Vocabulary(["<op>", "</op>", "a", "b", "==", "!=", "<"])
    source: Any = SimpleNamespace(shape={"vocabulary_size": len(vocabulary)}, describe=dict)
    run = Run.create(
        _FOLDER / "of the demo",
        source=source,
        task=Classification(tuple(OPERATORS)),
        model=ModelSpec("textcnn", {"embedding_size": 3, "channels": 3}),
        settings=Settings(epochs=2),
        recipe={"kind": TASK},
        tokenizer_json=vocabulary.to_tokenizer().to_str(),
    )
    return _saved(run)


_RUNS = {
    "classifier": _files_of("config.json of a run"),
    "series classifier": _series_classifier(),
    "language model": _files_of("config.json of a language model's run"),
    "frame model": _frame_model(),
    "reviewer": _reviewer(),
}


def _run(kind: str) -> Path:
    folder = _FOLDER / kind
    for name, content in _RUNS[kind].items():
        _written(name, content, folder)
    return folder


# ------------------------------------------------------------------ commands


@contextmanager
def _printed() -> Iterator[None]:
    """Encode what is printed, as a pipe does, and drop it."""
    with (
        redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")),
        redirect_stderr(io.TextIOWrapper(io.BytesIO(), "utf-8")),
    ):
        yield


def _sampled(folder: Path, prompt: str | None) -> None:
    sample(
        folder, SampleOptions(prompt, length=3, temperature=1.0, top_p=1.0, unknown=True, seed=0, out=None)
    )


def _diagnosed(run: Run, data: Path) -> None:
    """Read what a diagnosis reads, and compute the losses of two sequences."""
    sequences = read_diagnosis_data(run, data, DiagnosisColumns())
    objective = sequences.objective(run, 2)
    objective.losses(objective.model(sequences.tokens[:2]))


def _used(folder: Path, data: Path) -> None:
    """Predict or sample, and read what a diagnosis reads."""
    run = Run.open(folder)
    with _printed():
        if isinstance(run.config.task, NextStepTask):
            _sampled(folder, "good bad" if run.config.task.name == "language" else None)
        else:
            predict(folder, data, PredictOptions(format="jsonl", top=3))
        _diagnosed(run, data)


def _used_listed(data: Path, folder: Path) -> None:
    relist(folder)
    _used(folder, data)


def _predicted(options: PredictOptions, run: Path, data: Path) -> None:
    with _printed():
        predict(run, data, options)


def _from_standard_input(options: PredictOptions, run: Path, data: Path) -> None:
    with data.open() as file, patch.object(sys, "stdin", file):
        _predicted(options, run, Path("-"))


def _prepared(recipe: Recipe, data: Path) -> object:
    return prepare(recipe, data)


def _trained_on_three_texts(data: Path) -> object:
    files = {"validation_file": str(data), "test_file": str(data)}
    return prepare(Recipe.of("language", vocabulary=9, min_count=1, **files), data)


def _in_use(kind: str, name: str, whole: Path) -> Loader:
    """Return a loader that uses a run of which one file is damaged."""
    content = _RUNS[kind][name]
    contents = damaged(content) | changed_json(content)
    return Loader(partial(_used_listed, whole), name, (content,), contents, beside=_RUNS[kind])


def _commands() -> dict[str, Loader]:
    table = PredictOptions(format="table")
    csv, jsonl = PredictOptions(input_format="csv", target=("c",)), PredictOptions(input_format="jsonl")
    lines, classifier = ("to be\r\nü\n".encode(),), _run("classifier")
    loaders = {
        "train --task language": Loader(_trained_on_three_texts, "a.txt", FILES["text"].valid),
        "predict of lines": Loader(partial(_predicted, table, classifier), "a.txt", lines),
        "predict of lines from a pipe": Loader(
            partial(_from_standard_input, PredictOptions(), classifier), "a.txt", lines
        ),
        "predict of csv from a pipe": Loader(
            partial(_from_standard_input, csv, classifier), "a.csv", FILES["csv"].valid
        ),
        "predict of jsonl from a pipe": Loader(
            partial(_from_standard_input, jsonl, classifier), "a.jsonl", FILES["jsonl"].valid
        ),
        "predict of csv.gz": Loader(
            partial(_predicted, PredictOptions(), classifier), "a.csv.gz", FILES["csv.gz"].valid
        ),
    }
    for kind, data in _DATA.items():
        loader, folder = FILES[data], _run(kind)
        whole = _written(loader.name, loader.valid[0], _FOLDER / f"data for a {kind}")
        loaders[f"{kind} on {data}"] = replace(loader, load=partial(_used, folder), valid=loader.valid[:1])
        for name in ("config.json", "tokenizer.json"):
            if name in _RUNS[kind]:
                loaders[f"{name} of a {kind} in use"] = _in_use(kind, name, whole)
    return loaders


COMMANDS = _commands()
