"""The command line in this process, and two small runs to predict with."""

import csv
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from throughtime.cli import main
from throughtime.demo import TASK
from throughtime.demo.operators.corpus import SourceFile
from throughtime.demo.operators.dataset import PythonOperators, Sizes
from throughtime.tasks import Classification
from throughtime.training import ModelSpec, Run, Settings, fit


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


RunCli = Callable[..., Outcome]


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run ``throughtime`` with these arguments."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["throughtime", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``throughtime train`` on forty rows."""
    from .test_bad_input import GOOD

    folder = tmp_path_factory.mktemp("text")
    (folder / "data.csv").write_text(GOOD, encoding="utf-8")
    options = (
        "--text",
        "words",
        "--target",
        "kind",
        "--model",
        "textcnn",
        "--epochs",
        6,
        "--tokens-per-batch",
        32,
        "--no-baselines",
    )
    return trained(folder / "run", folder / "data.csv", *options)


def trained(out: Path, data: Path, *options: object) -> Path:
    """Return the folder of a run of ``throughtime train``."""
    arguments = ("train", data, *options, "--out", out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["throughtime", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return out


@pytest.fixture(scope="session")
def code_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo's kind, on a few files of the standard library."""
    source = small_operators()
    path = tmp_path_factory.mktemp("code") / "run"
    model = ModelSpec("textcnn", {"embedding_size": 8, "channels": 8})
    settings = Settings(epochs=1, tokens_per_batch=2048)
    tokenizer = source.vocabulary.to_tokenizer().to_str()
    return operators_run(path, source, model, settings, tokenizer).path


def operators_run(
    path: Path, source: PythonOperators, model: ModelSpec, settings: Settings, tokenizer: str
) -> Run:
    """Train a run of the demo's kind."""
    task = Classification(source.classes)
    run = Run.create(
        path,
        source=source,
        task=task,
        model=model,
        settings=settings,
        recipe={"kind": TASK},
        tokenizer_json=tokenizer,
    )
    fit(source, task, model, settings, run, progress=False)
    return run


TASKS = ("classification", "multilabel", "regression", "tagging", "anomaly")
WORDS = {"yes": "good fine great", "no": "bad poor awful"}


def rows_of_all_tasks(count: int = 60) -> list[dict[str, Any]]:
    """Return rows with a target for each task."""
    rows = []
    for number in range(count):
        kind = "yes" if number % 2 else "no"
        words = f"this {WORDS[kind].split()[number % 3]} thing number {number % 5}".split()
        rows.append(
            {
                "key": f"{number:03}",
                "words": " ".join(words),
                "kind": kind,
                "topics": "|".join(["odd"] * (number % 2) + ["third"] * (number % 3 == 0)),
                "stars": 3.0 + (number % 2) + number % 3,
                "tags": " ".join("X" if word in " ".join(WORDS.values()) else "O" for word in words),
                "broken": 0,
            }
        )
    return rows


TARGETS = dict(zip(TASKS, ("kind", "topics", "stars", "tags", "broken"), strict=True))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def task_runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A small run of each task on rows of texts, and ``data.csv`` beside them."""
    folder = tmp_path_factory.mktemp("tasks")
    data = write_csv(folder / "data.csv", rows_of_all_tasks())
    sizes = {"textcnn": ("--channels", 8), "bilstm": ("--hidden-size", 8), "language": ("--hidden-size", 8)}
    models = dict.fromkeys(TASKS, "textcnn") | {"tagging": "bilstm", "anomaly": "language"}
    options = ("--text", "words", "--epochs", 2, "--no-baselines", "--min-count", 1, "--embedding-size", 8)
    return {
        task: trained(
            folder / task,
            data,
            "--task",
            task,
            "--model",
            models[task],
            "--target",
            target,
            *options,
            *sizes[models[task]],
        )
        for task, target in TARGETS.items()
    }


def small_files() -> tuple[SourceFile, ...]:
    """Return a few files that every Python has."""
    modules = [
        "argparse",
        "ast",
        "dataclasses",
        "decimal",
        "fractions",
        "heapq",
        "inspect",
        "statistics",
        "textwrap",
        "typing",
    ]
    root = Path(sysconfig.get_path("stdlib"))
    return tuple(SourceFile(f"{module}.py", root / f"{module}.py") for module in modules)


SMALL = Sizes(training=600, validation=150, test=150, vocabulary=800)


def small_operators() -> PythonOperators:
    """Return the data set made of `small_files`."""
    return PythonOperators(0, SMALL, small_files())
