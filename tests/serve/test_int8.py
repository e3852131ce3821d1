"""A server with int8 weights answers as `throughtime.quantize` of the run does, also after it is loaded anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import throughtime as tt

from .conftest import serving

TEXTS = ["good film", "a very long plot", "bad"]


def answers(predictor: tt.Predictor) -> list[dict[str, Any]]:
    columns = predictor.predictions(TEXTS)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_answers_are_those_of_the_quantized_run(run_of: Callable[[str], Path]) -> None:
    run = tt.load(run_of("text"))
    expected = answers(run.quantize())
    assert expected != answers(run)
    with serving(run_of("text"), int8=True) as (client, _):
        assert client.post("/predict", json=TEXTS).json()["predictions"] == expected
        assert client.post("/reload").status_code == 200
        assert client.post("/predict", json=TEXTS).json()["predictions"] == expected
