"""Runs with one damaged file, and all functions that read a run.

Each file is listed anew in ``checksums.json`` after it was damaged: otherwise every change would end there.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal

import torch
from hypothesis import strategies as st

from tests.training.toy import relist
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.symbols import encode_prompt, learn_vocabulary, symbol_tokenizer
from throughtime.data.vocabulary import Vocabulary
from throughtime.learn import Recipe
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import created_run, prepare
from throughtime.learn.predictor import Predictor
from throughtime.models import sample
from throughtime.tasks import Language
from throughtime.tasks.intervals import Interval
from throughtime.training import EpochMetrics, Metrics, ModelSpec, Run, Score, Settings, read_gradients
from throughtime.training._state import saved_state
from throughtime.training._tensor_file import to_bytes

from .damage import changed_json, damaged
from .loaders import Loader

_TEXTS = ["good fine nice", "bad poor good", "fine bad , nice"] * 2
_EPOCH = EpochMetrics(
    1,
    3,
    {"loss": 0.5, "accuracy": 0.75},
    {"loss": 0.25, "accuracy": 1.0, "roc_auc": float("nan")},
    0.1,
    30,
    1.5,
)
_SCORE = Score({"loss": 0.5, "accuracy": 0.5}, 4, {"accuracy": Interval(0.25, 0.75)})
_GATE = {"closed": 0.25, "open": 0.0}
_RECORD = {
    "step": 0, "epoch": 0, "loss": 1.0, "seconds": 0.1, "norms": [0.5, None],
    "layers": [
        {"name": "LSTM", "layer": 0, "direction": 0, "kind": "LSTM", "h": [0.5], "c": [1.0],
         "saturation": {"input": _GATE, "forget": _GATE}}
    ],
}  # fmt: skip


def run_of(recipe: Recipe, data: Any, folder: Path) -> Run:
    """Create the run of a training that has not begun."""
    prepared = prepare(recipe, data)
    recipe = automatic_settings(prepared)
    kind: Literal["tokens", "series"] = "tokens" if "vocabulary_size" in prepared.source.shape else "series"
    return created_run(folder, replace(prepared, recipe=recipe), recipe.spec(kind), data)


def _text_run(folder: Path) -> Run:
    sizes = {"embedding_size": 3, "hidden_size": 2, "num_layers": 1, "dropout": 0.25}
    recipe = Recipe.of("classification", "bigru", text=["t"], target=["c"], clip_percentile=10.0, **sizes)
    rows = {"t": _TEXTS * 4, "c": ["yes", "no"] * 12}
    return run_of(recipe, rows, folder)


def _next_run(folder: Path) -> Run:
    words = learn_vocabulary(" ".join(_TEXTS).split(), "word", 20, 1)
    source = SimpleNamespace(shape={"vocabulary_size": len(words)}, describe=lambda: {"sha256": "0" * 64})
    return Run.create(
        folder,
        source=source,  # type: ignore[arg-type]
        task=Language("word"),
        model=ModelSpec("language", {"embedding_size": 4, "hidden_size": 4, "cutoffs": [2], "tied": False}),
        settings=Settings(k1=5, k2=7, streams=2),
        tokenizer_json=symbol_tokenizer(words, "word").to_str(pretty=True),
    )


def _files(make: Callable[[Path], Run]) -> dict[str, bytes]:
    """Return the files of a whole run."""
    with TemporaryDirectory() as folder:
        run = make(Path(folder) / "run")
        torch.manual_seed(0)
        model = run.config.model.build(run.config.shape, run.config.task)
        run.save_model(model)
        run.save_metrics(Metrics((_EPOCH,), 1, "epochs", _SCORE, _SCORE, run.config.task.to_json()))
        (run.path / "gradients.jsonl").write_text(f"{json.dumps(_RECORD)}\n" * 3)
        run.state_path.write_bytes(to_bytes(_state(model)))
        relist(run.path)
        return {path.name: path.read_bytes() for path in run.path.iterdir()}


def _state(model: torch.nn.Module) -> dict[str, Any]:
    """Return what of a checkpoint is looked at before Lightning takes it up."""
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2, 3)}}
    group = {"lr": 0.1, "betas": (0.9, 0.999), "params": [0], "foreach": None}
    return {
        "state_dict": weights,
        "loops": {"fit_loop": {"epoch_progress": {"current": {"ready": 1}}}},
        "optimizer_states": [{"state": moments, "param_groups": [group]}],
        "throughtime": {"history": [_EPOCH.to_json()], "totals": {"steps": 1, "loss": float("inf")}},
    }


def _applied(run: Run) -> object:
    """Use a model and what is told of it."""
    if not isinstance(run.config.task, Language):
        return Predictor.of(run).predictions(["Good bad", "fine", "nice"])
    model, unit = run.load_model(), run.config.task.unit
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    drawn = sample(
        model, encode_prompt("good bad", vocabulary, unit), generator=torch.Generator().manual_seed(0)
    )
    return [vocabulary.words[int(next(drawn))] for _ in range(3)]


def _gradients_of(run: Run) -> object:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* is not JSON .* and is ignored")
        return read_gradients(run.path / "gradients.jsonl")


_READ: dict[str, Callable[[Run], object]] = {
    "run.json": lambda run: run.config,
    "checksums.json": lambda run: run.metrics,
    "config.json": _applied,
    "metrics.json": lambda run: (run.metrics, run.task, run.finished),
    "environment.json": lambda run: run.note_environment(begun=True),
    "tokenizer.json": _applied,
    "model.safetensors": _applied,
    "state.safetensors": saved_state,
    "gradients.jsonl": _gradients_of,
}


def _reader(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        if name != "checksums.json":
            relist(folder)
        return _READ[name](Run.open(folder))

    return read


def _with_header(data: bytes, header: bytes) -> bytes:
    """Put another header into a safetensors file."""
    return len(header).to_bytes(8, "little") + header + data[8 + int.from_bytes(data[:8], "little") :]


def _header(data: bytes) -> bytes:
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def _with_tree(data: bytes, tree: bytes) -> bytes:
    header = json.loads(_header(data))
    header["__metadata__"]["throughtime"] = tree.decode()
    return _with_header(data, json.dumps(header).encode())


def _tree(data: bytes) -> bytes:
    tree: str = json.loads(_header(data))["__metadata__"]["throughtime"]
    return tree.encode()


def _tensor_files(data: bytes) -> st.SearchStrategy[bytes]:
    headers = damaged(_header(data)) | changed_json(_header(data))
    trees = changed_json(_tree(data)).map(lambda tree: _with_tree(data, tree))
    return damaged(data) | headers.map(lambda header: _with_header(data, header)) | trees


def _loader(name: str, files: dict[str, bytes]) -> Loader:
    whole = files[name]
    if name.endswith(".safetensors"):
        contents = _tensor_files(whole)
    elif name.endswith(".jsonl"):
        line = whole.splitlines()[0]
        contents = damaged(whole) | changed_json(line).map(lambda changed: line + b"\n" + changed)
    else:
        contents = damaged(whole) | changed_json(whole)
    return Loader(_reader(name), name, (whole,), contents, beside=files)


_TEXT_RUN, _NEXT_RUN = _files(_text_run), _files(_next_run)

RUNS = {
    **{f"{name} of a run": _loader(name, _TEXT_RUN) for name in _READ},
    **{
        f"{name} of a language model's run": _loader(name, _NEXT_RUN)
        for name in ("config.json", "tokenizer.json", "model.safetensors")
    },
}
