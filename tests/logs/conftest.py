"""Generated logs, and a small model of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from throughtime.logs.files import LogFile, log_files
from throughtime.logs.generated import FAULTS, GeneratedLine, generated_log
from throughtime.logs.model import LogModel
from throughtime.logs.options import LogOptions, SessionOptions
from throughtime.logs.training import log_recipe, read_training_log, train_logs

REQUESTS = r"req-\d+"


def write_log(path: Path, lines: Sequence[GeneratedLine]) -> Path:
    path.write_text("".join(f"{line.text}\n" for line in lines), encoding="utf-8")
    return path


def files_at(path: Path) -> Sequence[LogFile]:
    return log_files([path]).files


class Trained(NamedTuple):
    """A model of a normal log, and a log with faults."""

    run: Path
    normal: Path
    faulty: Path
    lines: list[GeneratedLine]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("logs")
    normal = write_log(folder / "normal.log", list(generated_log(600)))
    lines = list(generated_log(200, faults=FAULTS, seed=1))
    faulty = write_log(folder / "faulty.log", lines)
    options = LogOptions(sessions=SessionOptions(session=REQUESTS))
    log = read_training_log(files_at(normal), options)
    sizes = {"epochs": 10, "learning_rate": 0.02, "hidden_size": 32, "embedding_size": 32}
    train_logs(log, folder / "run", log_recipe(sizes), progress=False)
    return Trained(folder / "run", normal, faulty, lines)


@pytest.fixture
def model(trained: Trained) -> LogModel:
    return LogModel.open(trained.run)
