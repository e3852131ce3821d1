"""Small runs of every task and kind of input, and a model that computes when it is told to."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import throughtime as tt
from throughtime.serve import ServedRuns, ServeOptions
from throughtime.serve.app import app_of
from throughtime.serve.served_run import ServedRun

WORDS = [
    "the",
    "a",
    "good",
    "bad",
    "film",
    "play",
    "very",
    "dull",
    "fine",
    "long",
    "short",
    "plot",
    "actor",
    "scene",
    "song",
]


def texts_of(count: int) -> list[str]:
    """Return texts of 1 to 12 words."""
    return [
        " ".join(WORDS[(row * 7 + place * 3) % 15] for place in range(1 + row % 12)) for row in range(count)
    ]


def series_of(count: int, channels: int = 1) -> list[Any]:
    """Return series of 3 to 12 steps, as columns of files have them."""
    steps = [
        [[math.sin(row + step + c) for c in range(channels)] for step in range(3 + row % 10)]
        for row in range(count)
    ]
    return steps if channels > 1 else [[step[0] for step in row] for row in steps]


COUNT = 60
TEXTS = texts_of(COUNT)
ROWS: Mapping[str, list[Any]] = {
    "review": TEXTS,
    "words": [text.split() for text in TEXTS],
    "heart": series_of(COUNT),
    "motion": series_of(COUNT, 2),
    "age": [20.0 + row for row in range(COUNT)],
    "label": ["+-*"[row % 3] for row in range(COUNT)],
    "topics": [["odd"] * (row % 2) + ["third"] * (row % 3 == 0) for row in range(COUNT)],
    "stars": [row % 5 + 0.5 for row in range(COUNT)],
    "tags": [["X" if "o" in word else "O" for word in text.split()] for text in TEXTS],
}


@dataclass(frozen=True)
class Kind:
    """A run: the columns that it reads, and options of its training."""

    columns: tuple[str, ...]
    options: Mapping[str, Any]

    def rows(self, numbers: range = range(COUNT)) -> list[dict[str, Any]]:
        return [{name: ROWS[name][number] for name in self.columns} for number in numbers]


def _text(**options: Any) -> Kind:
    return Kind(("review",), {"text": "review", "min_count": 1, **options})


KINDS: Mapping[str, Kind] = {
    "text": _text(target="label", model="textcnn", channels=8),
    "multilabel": _text(target="topics", task="multilabel", model="gru", hidden_size=8),
    "regression": _text(target="stars", task="regression", model="bilstm", hidden_size=8),
    "tagging": Kind(("words",), {"tokens": "words", "target": "tags", "task": "tagging", "hidden_size": 8}),
    "anomaly": _text(task="anomaly", hidden_size=8),
    "series": Kind(("heart",), {"series": "heart", "target": "label", "model": "fcn"}),
    "channels": Kind(("motion",), {"series": "motion", "target": "label", "model": "lstm", "hidden_size": 8}),
    "numeric": Kind(
        ("review", "age"),
        {
            "text": "review",
            "numeric": "age",
            "target": "label",
            "model": "textcnn",
            "channels": 8,
            "min_count": 1,
        },
    ),
    "windows": _text(target="label", model="lstm", hidden_size=8, max_length=4, longer="windows"),
}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a run of this kind, which is trained once."""
    folder, trained = tmp_path_factory.mktemp("served"), set[str]()

    def run(name: str) -> Path:
        if name not in trained:
            fit(folder / name, KINDS[name])
            trained.add(name)
        return folder / name

    return run


def fit(out: Path, kind: Kind, **options: Any) -> None:
    """Train a run."""
    target = kind.options.get("target")
    columns = {name: ROWS[name] for name in (*kind.columns, *([target] if target else []))}
    tt.fit(pa.table(columns), out=out, epochs=2, progress=False, **_given({**kind.options, **options}))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def serving(*runs: Path, **options: Any) -> Iterator[tuple[TestClient, ServedRuns]]:
    """Yield a client of a server without sockets, and the runs behind it."""
    served = ServedRuns(runs, ServeOptions(**options))
    with TestClient(app_of(served), raise_server_exceptions=False) as client:
        yield client, served


class Gate:
    """Lets a model compute when it is opened, and records the number of sequences of each batch."""

    def __init__(self, model: Any) -> None:
        self.batches: list[int] = []
        self.reached, self._open = threading.Event(), threading.Event()
        model.register_forward_pre_hook(self._wait)

    def open(self) -> None:
        self._open.set()

    def _wait(self, module: Any, arguments: tuple[Any, ...]) -> None:
        self.batches.append(len(arguments[0]))
        self.reached.set()
        if not self._open.wait(30):
            raise TimeoutError("nobody opened the gate")


@contextmanager
def held(served: ServedRuns) -> Iterator[Gate]:
    """Yield the gate of the model of the only run; it is open afterwards."""
    gate = Gate(only(served).loaded.predictor.model)
    try:
        yield gate
    finally:
        gate.open()


def only(served: ServedRuns) -> ServedRun:
    """Return the only run."""
    (run,) = served.runs.values()
    return run


def send(client: TestClient, content: Any) -> "Future[Any]":
    """Send a request in a thread and return its future response."""
    pool = ThreadPoolExecutor(1)
    answer = pool.submit(client.post, "/predict", json=content)
    pool.shutdown(wait=False)
    return answer


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError("the condition never held")
