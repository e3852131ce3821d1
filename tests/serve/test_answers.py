"""The answers of a server are those of `Predictor`, bit for bit, alone and in batches."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import throughtime as tt
from throughtime.errors import DataError
from throughtime.serve import ServeOptions
from throughtime.serve.batcher import Job
from throughtime.serve.predicting import answer
from throughtime.serve.rows import rows_of

from .conftest import KINDS, ROWS, serving


def expected(predictor: tt.Predictor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = predictor.predictions(pa.Table.from_pylist(rows))  # with time first, as in JSON Lines
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("name", KINDS)
def test_requests_of_one_batch_are_answered_as_alone(name: str, run_of: Callable[[str], Path]) -> None:
    predictor, kind = tt.load(run_of(name)), KINDS[name]
    requests = [kind.rows(range(start, start + size)) for start, size in ((0, 1), (1, 5), (6, 17), (23, 2))]
    columns = predictor.recipe.columns
    jobs = [Job(rows_of({"rows": rows}, columns, 100), None, 1) for rows in requests]
    tokens = answer(predictor, jobs, ServeOptions(max_batch_tokens=40))
    table = pa.Table.from_pylist([row for rows in requests for row in rows])
    assert tokens == predictor.examples(table).inputs.layout.total
    for job, rows in zip(jobs, requests, strict=True):
        assert json.loads(json.dumps(job.answer.result())) == expected(predictor, rows)


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_over_http_has_the_same_numbers(name: str, run_of: Callable[[str], Path]) -> None:
    predictor, rows = tt.load(run_of(name)), KINDS[name].rows(range(9))
    with serving(run_of(name)) as (client, _):
        predictions = client.post("/predict", json={"rows": rows}).json()["predictions"]
        assert client.post("/predict", json=rows).json()["predictions"] == predictions
        assert client.post("/predict", json=rows[0]).json()["predictions"] == expected(predictor, rows[:1])
    assert predictions == expected(predictor, rows)
    assert list(predictions[0]) == list(predictor.predictions(pa.Table.from_pylist(rows)))
    main = next(iter(predictions[0]))
    if predictor.task.main_columns == 1:
        assert [row[main] for row in predictions] == predictor.predict(pa.Table.from_pylist(rows))
    if predictor.task.probability_names:
        names = [f"probability_{label}" for label in predictor.classes]
        probabilities = np.array([[row[label] for label in names] for row in predictions])
        np.testing.assert_array_equal(probabilities, predictor.predict_proba(pa.Table.from_pylist(rows)))


def test_bare_values_are_read_as_predict_reads_them(run_of: Callable[[str], Path]) -> None:
    channels_first = [
        [list(channel) for channel in zip(*series, strict=True)] for series in ROWS["motion"][:5]
    ]
    bare = {
        "text": ROWS["review"][:5],
        "tagging": ROWS["words"][:5],
        "series": ROWS["heart"][:5],
        "channels": channels_first,
    }
    for name, values in bare.items():
        predictor = tt.load(run_of(name))
        jobs = [Job(rows_of(values, predictor.recipe.columns, 100), None, 1)]
        answer(predictor, jobs, ServeOptions())
        columns = predictor.predictions(values)
        assert [list(row.values()) for row in jobs[0].answer.result()] == [
            list(row) for row in zip(*columns.values(), strict=True)
        ]
    text = tt.load(run_of("text"))
    assert rows_of("a good film", text.recipe.columns, 1) == [{"review": "a good film"}]


def test_a_faulty_request_of_a_batch_is_refused_and_the_others_are_answered(
    run_of: Callable[[str], Path],
) -> None:
    predictor, kind = tt.load(run_of("numeric")), KINDS["numeric"]
    requests = [kind.rows(range(row, row + 2)) for row in range(0, 14, 2)]
    requests[1][1] = requests[1][1] | {"review": " "}
    requests[4][0] = requests[4][0] | {"age": float("nan")}
    jobs = [Job(rows_of(rows, predictor.recipe.columns, 100), None, 1) for rows in requests]
    answer(predictor, jobs, ServeOptions())
    messages = {
        1: r"^row 2 has no text in column 'review'",
        4: r"^row 1 has nan in column 'age'; send a finite",
    }
    for number, job in enumerate(jobs):
        if number in messages:
            with pytest.raises(DataError, match=messages[number]):
                job.answer.result()
        else:
            assert job.answer.result() == expected(predictor, requests[number])


def test_a_wrong_value_in_one_request_does_not_change_the_kind_of_another(
    run_of: Callable[[str], Path],
) -> None:
    predictor = tt.load(run_of("tagging"))
    requests = [[{"words": ["good", "film"]}], [{"words": [1, 2]}], [{"words": [["a"]]}]]
    jobs = [Job(rows_of(rows, predictor.recipe.columns, 100), None, 1) for rows in requests]
    answer(predictor, jobs, ServeOptions())
    assert [job.answer.result() for job in jobs[:2]] == [expected(predictor, rows) for rows in requests[:2]]
    with pytest.raises(DataError, match="column 'words' holds"):
        jobs[2].answer.result()
