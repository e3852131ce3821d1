"""Streams over WebSocket: predictions so far, equal to those of whole sequences; errors, limits and the end."""

import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

import throughtime as tt
from throughtime.streaming import Stream

from .conftest import KINDS, ROWS, fit, only, serving, until

TEXT = "a very long plot and a dull actor"


def prediction(run: Path, values: list[Any]) -> dict[str, Any]:
    columns = tt.load(run).predictions(values)
    return {name: column[0] for name, column in columns.items()}


def told(socket: Any, message: Any) -> dict[str, Any]:
    socket.send_json(message)
    answer: dict[str, Any] = socket.receive_json()
    return answer


@pytest.fixture(scope="session")
def causal_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("causal") / "causal"
    fit(out, KINDS["text"], model="lstm", hidden_size=8, channels=None)
    return out


def test_the_end_of_a_stream_has_the_prediction_of_the_whole_text(causal_run: Path) -> None:
    with serving(causal_run) as (client, served), client.websocket_connect("/stream") as socket:
        assert only(served).loaded.can_stream
        for chunk in ("a very lo", "ng plot", {"chunk": " and a dull "}, "actor"):
            answer = told(socket, chunk)
            assert list(answer) == ["prediction"]
        # The last word may go on, so it is read at the end.
        assert answer["prediction"] == prediction(causal_run, ["a very long plot and a dull"])
        assert told(socket, {"end": True}) == {"prediction": prediction(causal_run, [TEXT]), "end": True}
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
        assert ended.value.code == 1000
        assert len(only(served).loaded.stream) == 0


def test_tokens_and_series(causal_run: Path, run_of: Callable[[str], Path]) -> None:
    words, motion = TEXT.split(), ROWS["motion"][3]
    with serving(causal_run) as (client, _), client.websocket_connect("/models/causal/stream") as socket:
        assert told(socket, words[:3])["prediction"] == prediction(causal_run, ["a very long"])
        assert told(socket, words[3:])["prediction"] == prediction(causal_run, [TEXT])
    channels = run_of("channels")
    with serving(channels) as (client, _), client.websocket_connect("/stream") as socket:
        told(socket, motion[:2])
        answer = told(socket, motion[2:])
    assert answer["prediction"] == prediction(
        channels, [[list(channel) for channel in zip(*motion, strict=True)]]
    )


def test_chunks_of_several_streams_are_read_in_one_batch(
    causal_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    reached, go, push = threading.Event(), threading.Event(), Stream.push

    def recorded(self: Stream, chunks: Mapping[Any, Any]) -> dict[Any, Any]:
        sizes.append(len(chunks))
        reached.set()
        assert go.wait(30)
        return push(self, chunks)

    monkeypatch.setattr(Stream, "push", recorded)
    texts = ["good film ", "bad ", "a long plot ", "dull scene "]
    with serving(causal_run) as (client, served), ThreadPoolExecutor(4) as pool:
        sockets = [client.websocket_connect("/stream").__enter__() for _ in texts]
        assert 'throughtime_streams{model="causal"} 4.0' in client.get("/metrics").text
        first = pool.submit(told, sockets[0], texts[0])
        assert reached.wait(30)
        others = [pool.submit(told, *pair) for pair in zip(sockets[1:], texts[1:], strict=True)]
        until(lambda: only(served).sessions.waiting == 3)
        go.set()
        answers = [answer.result(30)["prediction"] for answer in (first, *others)]
        assert sizes == [1, 3]
        assert answers == [prediction(causal_run, [text]) for text in texts]
        for socket in sockets:
            socket.__exit__(None, None, None)
        until(lambda: len(only(served).loaded.stream) == 0)
        until(lambda: 'throughtime_streams{model="causal"} 0.0' in client.get("/metrics").text)


def test_a_faulty_chunk_is_refused_and_the_stream_goes_on(causal_run: Path) -> None:
    faults = {
        "5": "the chunk of stream 0 is 5, expected a text, a list of tokens or their numbers",
        '{"chunk": "a", "end": true}': "the message is {'chunk': 'a', 'end': True}, expected {\"chunk\": ...} or ",
        '{"end": 1}': "the message is {'end': 1}, expected ",
        "{": "the request is not JSON (",
    }
    with serving(causal_run) as (client, _), client.websocket_connect("/stream") as socket:
        told(socket, "a very long ")
        for message, error in faults.items():
            socket.send_text(message)
            answer = socket.receive_json()
            assert list(answer) == ["error"]
            assert answer["error"].startswith(error)
        socket.send_bytes(b'"plot and a dull actor "')
        assert socket.receive_json() == {"prediction": prediction(causal_run, [TEXT])}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("text", "needs future steps"),
        ("regression", "reads from the end"),
        ("numeric", "the model reads 'age' beside each sequence"),
    ],
)
def test_a_model_of_whole_sequences_is_refused(name: str, error: str, run_of: Callable[[str], Path]) -> None:
    with serving(run_of(name)) as (client, _):
        assert client.get("/").json()["streams"] is False
        with client.websocket_connect("/stream") as socket:
            message = socket.receive_json()["error"]
            with pytest.raises(WebSocketDisconnect) as ended:
                socket.receive_json()
        assert (ended.value.code, ended.value.reason) == (4422, message[:120])
        assert error in message
        assert 'throughtime_streams{model="' + name + '"} 0.0' in client.get("/metrics").text


def test_limits_and_names_of_streams(causal_run: Path, run_of: Callable[[str], Path]) -> None:
    with serving(causal_run, run_of("text"), max_streams=1) as (client, _):
        with client.websocket_connect("/models/causal/stream"):
            assert closed(client, "/models/causal/stream") == (
                4429,
                "1 stream open already; connect again later",
            )
        assert closed(client, "/stream")[0] == 4404
        assert closed(client, "/models/b/stream") == (
            4404,
            "no model is named 'b'; models are 'causal', 'text'",
        )


def closed(client: Any, path: str) -> tuple[int, str]:
    with client.websocket_connect(path) as socket:
        socket.receive_json()
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
    return ended.value.code, ended.value.reason


def test_a_stream_keeps_the_model_that_it_began_with(causal_run: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(causal_run, run)
    fit(other, KINDS["text"], model="lstm", hidden_size=8, channels=None, seed=1)
    old, new = prediction(run, [TEXT]), prediction(other, [TEXT])
    assert old != new
    with serving(run) as (client, _), client.websocket_connect("/stream") as socket:
        told(socket, "a very long ")
        shutil.rmtree(run)
        shutil.copytree(other, run)
        assert client.post("/reload").status_code == 200
        assert told(socket, "plot and a dull actor ")["prediction"] == old
        with client.websocket_connect("/stream") as later:
            assert told(later, TEXT + " ")["prediction"] == new
