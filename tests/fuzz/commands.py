"""The inputs of the commands: damaged data with an intact run, and damaged runs of every kind."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from unittest.mock import patch

import torch
from throughtime.cli._train_next import NextOptions, _source

from tests.training.toy import relist
from throughtime.cli._diagnosis_data import read_diagnosis_data
from throughtime.cli._predict import predict
from throughtime.cli._sample import SampleOptions, sample
from throughtime.data.frames import read_frames
from throughtime.data.next_step import frame_source
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo import TASK
from throughtime.training import ModelSpec, Run, Settings

from .damage import changed_json, damaged
from .loaders import FILES, SHARES, Loader
from .runs import RUNS

_MADE = TemporaryDirectory()
_FOLDER = Path(_MADE.name)


def _classifier() -> dict[str, bytes]:
    files = RUNS["config.json of a run"].beside
    assert files is not None
    return dict(files)


def _language_model() -> dict[str, bytes]:
    files = RUNS["config.json of a language model's run"].beside
    assert files is not None
    return dict(files)


def _frame_model() -> dict[str, bytes]:
    path = _FOLDER / "rolls.npz"
    path.write_bytes(FILES["npz"].valid[0])
    source = frame_source(read_frames(path, **SHARES))
    spec = ModelSpec("frame", {"embedding_size": 0, "hidden_size": 3})
    return _files(source, spec, {"kind": "next", "unit": "frame"}, None)


def _reviewer() -> dict[str, bytes]:
    """As a run of the demo."""

    class Operators:
        classes = ("original", "replaced")
        vocabulary = Vocabulary(["<op>", "</op>", "a", "b", "==", "!=", "<"])
        vocabulary_size = len(vocabulary)

        def describe(self) -> dict[str, Any]:
            return {}

    spec = ModelSpec("textcnn", {"embedding_size": 3, "channels": 3})
    tokenizer = Operators.vocabulary.to_tokenizer().to_str()
    return _files(Operators(), spec, {"kind": TASK}, tokenizer)


def _files(source: Any, spec: ModelSpec, task: dict[str, Any], tokenizer: str | None) -> dict[str, bytes]:
    path = Path(mkdtemp(dir=_FOLDER)) / "run"
    settings = Settings(epochs=2, streams=2, k1=4)
    run = Run.create(path, source=source, model=spec, settings=settings, task=task, tokenizer_json=tokenizer)
    torch.manual_seed(0)
    run.save_model(spec.build(source.vocabulary_size, len(source.classes)))
    return {file.name: file.read_bytes() for file in path.iterdir()}


_RUNS = {
    "classifier": _classifier(),
    "language model": _language_model(),
    "frame model": _frame_model(),
    "reviewer": _reviewer(),
}
_SAMPLED = SampleOptions(None, length=3, temperature=1.0, top_p=1.0, unknown=True, seed=0, out=None)
_DATA = {"classifier": "csv", "language model": "text", "frame model": "npz", "reviewer": "Python"}


def _written(name: str, content: bytes, folder: Path) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _run(kind: str) -> Path:
    folder = _FOLDER / kind
    for name, content in _RUNS[kind].items():
        _written(name, content, folder)
    return folder


def _used(kind: str, folder: Path, data: Path) -> object:
    """Predict or sample, and read what a diagnosis reads."""
    run = Run.open(folder)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        if "model" in kind:
            sample(folder, replace(_SAMPLED, prompt="good bad" if kind == "language model" else None))
        else:
            predict(folder, data, text=None, label=None, jsonl=True, top=3, prior=0.01)
        sequences = read_diagnosis_data(run, data, None, "c" if kind == "classifier" else None, None)
        objective = sequences.objective(run, 2)
        objective.losses(objective.model(sequences.tokens[:2]))
    return out.getvalue()


def _used_listed(kind: str, data: Path, folder: Path) -> object:
    relist(folder)
    return _used(kind, folder, data)


def _predicted(run: Path, data: Path) -> object:
    """Print a table of predictions, of lines of text."""
    with redirect_stdout(io.StringIO()) as out:
        predict(run, data, text=None, label=None, jsonl=False, top=None, prior=0.01)
    return out.getvalue()


def _from_standard_input(kind: str, data: Path) -> object:
    """Print predictions of what comes through a pipe."""
    with data.open() as file, patch.object(sys, "stdin", file), redirect_stdout(io.StringIO()) as out:
        predict(_run(kind), Path("-"), text=None, label=None, jsonl=True, top=None, prior=0.01)
    return out.getvalue()


def _trained_next(data: Path) -> object:
    """Read the three texts of ``train --task next``."""
    files = {"data": data, "validation_file": data, "test_file": data}
    known = {**dict.fromkeys(NextOptions.__dataclass_fields__), **files}
    return _source(NextOptions(**known | {"unit": "word", "vocabulary": 9, "min_count": 1}), frozenset())


def _commands() -> dict[str, Loader]:
    found = {
        "train --task next": Loader(_trained_next, "a.txt", FILES["text"].valid),
        "predict of lines": Loader(partial(_predicted, _run("classifier")), "a.txt", FILES["lines"].valid),
        "predict from a pipe": Loader(
            partial(_from_standard_input, "classifier"), "a.txt", FILES["lines"].valid
        ),
    }
    for kind, data in _DATA.items():
        loader = FILES[data]
        whole = _written(loader.name, loader.valid[0], _FOLDER / f"data for a {kind}")
        found[f"{kind} on {data}"] = replace(loader, load=partial(_used, kind, _run(kind)))
        for name in ("config.json", "tokenizer.json"):
            content = _RUNS[kind].get(name)
            if content is not None:
                found[f"{name} of a {kind} in use"] = Loader(
                    partial(_used_listed, kind, whole),
                    name,
                    (content,),
                    damaged(content) | changed_json(content),
                    beside=_RUNS[kind],
                )
    return found


COMMANDS = _commands()
