"""JSON of a run: what is written can be read again, and what could not be is refused before anything is written."""

import pytest

from tests.training.toy import created
from throughtime.errors import KindError
from throughtime.training import EpochMetrics, Metrics, Run


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"n": 2**70}, "an integer is beyond 64 bits"),
        ({"n": nested(70)}, "nested more than 64 deep"),
        ({"n": "x" * (64 * 2**20)}, "at most 67,108,864 bytes of JSON, got"),
        ({"n": {1, 2}}, "values of JSON alone"),
    ],
    ids=["2**70", "deep", "long", "set"],
)
def test_what_would_not_be_read_again_is_not_written(task, message, tmp_path):
    with pytest.raises(KindError, match=message):
        created(tmp_path / "run", task=task)
    assert not list(tmp_path.iterdir())


def test_long_histories_and_many_long_names_are_read_again(tmp_path):
    run = created(tmp_path / "run")
    third, shares = 1 / 3, {"train_accuracy": 1 / 3, "validation_accuracy": 2 / 3}
    losses = {"train_loss": third, "validation_loss": third, "learning_rate": third, "seconds": third}
    history = tuple(EpochMetrics(number, 9, tokens=99, **losses, **shares) for number in range(1, 30_001))
    metrics = Metrics(history, 1)
    run.save_metrics(metrics)
    assert run.metrics == metrics
    run = created(tmp_path / "named", task={"names": [f"{i:0900}" for i in range(10_000)]})
    assert len(Run.open(run.path).config.task["names"]) == 10_000
