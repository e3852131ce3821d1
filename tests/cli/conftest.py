"""The command line in this process, and two small runs to predict with."""

import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from throughtime.cli import main
from throughtime.demo import TASK
from throughtime.demo.operators.corpus import SourceFile
from throughtime.demo.operators.dataset import PythonOperators, Sizes
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
    arguments = ("train", folder / "data.csv", "--text", "words", "--label", "kind", "--epochs", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["throughtime", *map(str, arguments), "--out", str(folder / "run")])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder / "run"


@pytest.fixture(scope="session")
def code_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo's kind, on a few files of the standard library."""
    source = small_operators()
    path = tmp_path_factory.mktemp("code") / "run"
    model = ModelSpec("textcnn", {"embedding_size": 8, "channels": 8})
    settings = Settings(epochs=1, tokens_per_batch=2048)
    tokenizer = source.vocabulary.to_tokenizer().to_str()
    run = Run.create(
        path, source=source, model=model, settings=settings, task={"kind": TASK}, tokenizer_json=tokenizer
    )
    fit(source, model, settings, run, progress=False)
    return path


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
