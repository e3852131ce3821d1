"""Requests that are refused: a status, and one line that says where the fault is and what to do."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from throughtime.errors import NotFiniteError

from .conftest import KINDS, ROWS, fit, held, only, send, serving, until

LONG = " ".join(["good"] * 31)
FAULTS: dict[str, list[tuple[Any, int, str]]] = {
    "text": [
        (b"{", 400, "the request is not JSON (Expecting property name"),
        (b"[" * 100_000, 400, "the request is not JSON ("),
        (b'"\xff"', 400, "the request is not JSON ("),
        ([], 422, "the request has no rows; send at least one"),
        ({"rows": []}, 422, "the request has no rows; send at least one"),
        (3, 422, 'the request is a number, expected {"rows": [...]}, one row, or a list of rows'),
        ({"rows": "a"}, 422, "'rows' is a text, expected a list of rows"),
        (
            {"rows": [], "b": 1},
            422,
            "the request has a key 'b' beside 'rows'; remove it, or put it into rows",
        ),
        ([1.5], 422, "row 1 has a number in column 'review', expected a text"),
        (["a", {"review": "a"}], 422, "row 2 is an object, but row 1 is not; send rows of one kind"),
        ([{"review": "a"}, "a"], 422, "row 2 is a text, but row 1 is an object; send rows of one kind"),
        (
            [{"review": "a"}, {"text": "b"}],
            422,
            "row 2 has no column 'review'; its columns are 'text'; add it",
        ),
        ([{"review": "a"}, {"review": 5}], 422, "row 2 has a number in column 'review', expected a text"),
        (
            [{"review": "a"}, {"review": " "}],
            422,
            "row 2 has no text in column 'review'; fill it in or remove",
        ),
        (
            [{"review": "a"}, {"review": None}],
            422,
            "row 2 has no text in column 'review'; fill it in or remove",
        ),
        (b'{"review": "\\ud800"}', 422, "row 1, column 'review', contains an unpaired surrogate (\\ud800)"),
        (["a", LONG], 422, "row 2 has 31 steps, but at most 30 are allowed; shorten it"),
        (["a"] * 9, 413, "the request has 9 rows, but at most 8 are allowed; send several requests"),
        (["a" * 1_100_000], 413, "the request has more than 1 MiB; send its rows in several requests"),
    ],
    "numeric": [
        (
            ["a"],
            422,
            "row 1 is a text, but the model reads several columns; send an object with 'review', 'age'",
        ),
        ({"review": "a", "age": "old"}, 422, "row 1 has a text in column 'age', expected a number"),
        ({"review": "a", "age": None}, 422, "row 1 has no value in column 'age'; fill it in"),
        (b'{"review": "a", "age": NaN}', 422, "row 1 has nan in column 'age'; send a finite number"),
        (b'{"review": "a", "age": 1e999}', 422, "row 1 has inf in column 'age'; send a finite number"),
    ],
    "series": [
        ([[1.0, None, 2.0]], 422, "row 1 has no value at step 2 in column 'heart'; fill it in"),
        (b"[[1.0, 2.0], [0.5, NaN]]", 422, "row 2 has nan at step 2 in column 'heart'; send a finite number"),
        (["a"], 422, "row 1 has a text in column 'heart', expected a list of numbers"),
    ],
    "channels": [
        ([[[1.0, 2.0], [1.0]]], 422, "row 1 has channels of 1, 2 steps; send channels of the same length"),
        (
            [{"motion": [[1.0, None]]}],
            422,
            "row 1 has no value at step 1, channel 2 in column 'motion'; fill it in",
        ),
    ],
    "tagging": [
        (["a"], 422, "row 1 has a text in column 'words', expected a list of tokens"),
        ([["a", 5]], 422, "row 1 has a list of numbers and texts in column 'words'; give one kind"),
        ([["a", None]], 422, "row 1 has no token at position 2 of column 'words'; remove it or name it"),
        ([["a"], []], 422, "row 2 has no tokens in column 'words'; fill it in or remove the row"),
    ],
    "windows": [([LONG], 422, "row 1 has ")],
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_request_is_refused_in_one_line(name: str, run_of: Callable[[str], Path]) -> None:
    limits = {"max_rows": 8, "max_tokens_per_row": 30, "max_body": 1}
    with serving(run_of(name), **limits) as (client, _):
        for content, status, message in FAULTS[name]:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            response = client.post("/predict", content=body)
            assert list(response.json()) == ["error"]
            assert response.json()["error"].startswith(message)
            assert "--" not in response.json()["error"]
            assert "\n" not in response.json()["error"]
            assert response.status_code == status
        assert client.post("/predict", json=KINDS[name].rows(range(2))).status_code == 200


def test_a_body_without_a_length_is_limited_too(run_of: Callable[[str], Path]) -> None:
    def parts() -> Iterator[bytes]:
        yield from [b" " * 2**20] * 3

    with serving(run_of("text"), max_body=1) as (client, _):
        assert client.post("/predict", content=parts()).status_code == 413


def test_the_limit_of_the_model_is_named_in_words_for_requests(
    run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    fit(tmp_path / "run", KINDS["text"], max_length=20, longer="refuse")
    with serving(tmp_path / "run") as (client, _):
        response = client.post("/predict", json=["good", LONG])
    assert response.json() == {"error": "row 2 has 31 steps, but at most 20 are allowed; shorten it"}


def test_a_full_queue_refuses_and_the_others_are_answered(run_of: Callable[[str], Path]) -> None:
    with serving(run_of("text"), queue=2) as (client, served), held(served) as gate:
        answers = [send(client, ["good film"]) for _ in range(1)]
        assert gate.reached.wait(30)
        answers += [send(client, ["bad film"]) for _ in range(2)]
        until(lambda: only(served).waiting == 2)
        refused = client.post("/predict", json=["long plot"])
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json() == {"error": "2 requests wait already; send this one again later"}
        gate.open()
        assert [answer.result(30).status_code for answer in answers] == [200] * 3
        assert 'throughtime_rejected_total{model="text"} 1.0' in client.get("/metrics").text


def test_an_unexpected_error_is_logged_under_the_number_of_the_answer(
    run_of: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(run_of("text")) as (client, served), caplog.at_level(logging.ERROR, "throughtime.serve"):
        model = only(served).loaded.predictor.model
        for error in (ZeroDivisionError("secret"), NotFiniteError("secret"), Panic("secret")):
            hook = model.register_forward_pre_hook(_raising(error))
            response = client.post("/predict", json=["good film"])
            hook.remove()
            assert response.status_code == 500
            number = response.json()["id"]
            assert (
                response.json()["error"] == f"unexpected error {number}; the log of the server describes it"
            )
            assert f"error {number}" in caplog.text
            assert type(error).__name__ in caplog.text
        assert client.post("/predict", json=["good film"]).status_code == 200


class Panic(BaseException):
    """An error that ``except Exception`` does not catch, as those of Rust are."""


def _raising(error: BaseException) -> Callable[..., None]:
    def raise_(*_: Any) -> None:
        raise error

    return raise_


def test_paths_and_methods_that_do_not_exist(run_of: Callable[[str], Path]) -> None:
    with serving(run_of("text")) as (client, _):
        assert client.get("/predict").status_code == 405
        assert client.get("/predict").json() == {
            "error": "GET /predict does not exist; use POST /predict or GET /"
        }
        assert client.get("/nothing").status_code == 404
    with serving(run_of("text"), run_of("series")) as (client, _):
        message = "2 models are served; use /models/NAME/predict, where NAME is one of 'text', 'series'"
        assert client.post("/predict", json=["a"]).json() == {"error": message}
        message = "no model is named 'b'; models are 'text', 'series'"
        assert client.post("/models/b/predict", json=["a"]).json() == {"error": message}
        assert client.post("/models/series/predict", json=[ROWS["heart"][0]]).status_code == 200
