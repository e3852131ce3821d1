"""JSON of a run: written files can be read again; values that could not be are refused before anything is written."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tests.training.toy import created, relisted
from throughtime.errors import InputTypeError, RunError
from throughtime.training import EpochMetrics, Metrics, Run, _json
from throughtime.training._json import json_value
from throughtime.training._tensor_file import from_bytes, to_bytes


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"n": 2**70}, "an integer is beyond 64 bits"),
        ({"n": nested(70)}, "nested more than 64 deep"),
        ({"n": "x" * (64 * 2**20)}, "at most 67,108,864 bytes, got"),
        ({"n": [0] * 1_000_001}, "values, but at most 1,000,000 are allowed"),
        ({"n": {1, 2}}, "only save JSON values"),
    ],
    ids=["2**70", "deep", "long", "many", "set"],
)
def test_what_would_not_be_read_again_is_not_written(recipe, message, tmp_path):
    with pytest.raises(InputTypeError, match=message):
        created(tmp_path / "run", recipe=recipe)
    assert not list(tmp_path.iterdir())


def test_long_histories_and_many_long_names_are_read_again(tmp_path):
    run = created(tmp_path / "run")
    third, train, validation = 1 / 3, {"loss": 1 / 3, "accuracy": 2 / 3}, {"loss": 1 / 7, "accuracy": 1 / 9}
    history = tuple(
        EpochMetrics(number, 9, train, validation, third, tokens=99, seconds=third)
        for number in range(1, 30_001)
    )
    metrics = Metrics(history, 1)
    run.save_metrics(metrics)
    assert run.metrics == metrics
    run = created(tmp_path / "named", recipe={"names": [f"{i:0900}" for i in range(10_000)]})
    assert len(Run.open(run.path).config.recipe["names"]) == 10_000


MANY = "[" + "[]," * 600_000 + "0]"


def test_more_values_than_memory_is_for_are_counted_and_not_made(tmp_path, monkeypatch):
    run = created(tmp_path / "run")
    (run.path / "config.json").write_text(f'{{"a": {MANY}}}')
    relisted(run)
    weights = save({"a": torch.zeros(1)}, metadata={"throughtime": MANY})
    monkeypatch.setattr(_json.json, "loads", lambda *_, **__: pytest.fail("the values were made"))
    with pytest.raises(ValueError, match="about 1,200,001 values, but at most 1,000,000 are allowed"):
        json_value(MANY)
    with pytest.raises(RunError, match=r"weights is cut short or damaged \(about 1,200,\d\d\d values"):
        from_bytes(weights, Path("weights"))
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"config\.json is damaged: .*about 1,200,\d\d\d values"):
        Run.open(run.path)


def test_a_tensor_file_holds_as_long_a_history_as_a_json_file():
    history = ["0.1234567890123456"] * 900_000  # 20 MB, as 60,000 epochs
    assert from_bytes(to_bytes(history), Path("state")) == history


def test_a_tensor_file_of_more_values_is_not_written():
    with pytest.raises(InputTypeError, match="a tensor file cannot hold this tree: about 1,000,00. values"):
        to_bytes([0] * 1_000_001)
