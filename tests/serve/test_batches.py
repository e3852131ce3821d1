"""Requests that wait are computed as one batch, within the limits of tokens, time and the queue."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from throughtime.serve import ServeOptions
from throughtime.serve.batcher import Batcher, Job, QueueFullError, StoppedError

from .conftest import held, only, send, serving, until


def test_requests_that_wait_run_as_one_batch(run_of: Callable[[str], Path]) -> None:
    with serving(run_of("text")) as (client, served), held(served) as gate:
        answers = [send(client, ["good film"])]
        assert gate.reached.wait(30)
        answers += [send(client, ["bad film", "long plot"][: 1 + number % 2]) for number in range(6)]
        until(lambda: only(served).waiting == 6)
        assert 'throughtime_queue_requests{model="text"} 6.0' in client.get("/metrics").text
        gate.open()
        assert [len(answer.result(30).json()["predictions"]) for answer in answers] == [1, 1, 2, 1, 2, 1, 2]
        assert gate.batches == [1, 9]
        text = client.get("/metrics").text
    figures = {
        "batch_requests_count": 2,
        "batch_requests_sum": 7,
        "batch_rows_sum": 10,
        "batch_tokens_sum": 20,
        "rows_total": 10,
        "request_seconds_count": 7,
        "queue_requests": 0,
    }
    for name, value in figures.items():
        assert f'throughtime_{name}{{model="text"}} {value:.1f}' in text
    assert 'throughtime_requests_total{model="text",status="200"} 7.0' in text


class Recorder:
    """A batcher whose calls are recorded; the first of them waits."""

    def __init__(self, **options: Any) -> None:
        self.calls: list[list[str]] = []
        self.reached, self.go = threading.Event(), threading.Event()
        self.batcher = Batcher(self._process, ServeOptions(**options), "test")
        self.batcher.start()

    def _process(self, jobs: Sequence[Job]) -> int:
        self.calls.append([job.content[0]["text"] for job in jobs])
        self.reached.set()
        assert self.go.wait(30)
        for job in jobs:
            job.answer.set_result(job.content)
        return sum(len(job.content[0]["text"]) for job in jobs)

    def submit(self, text: str) -> Any:
        return self.batcher.submit([{"text": text}], None, 2 * len(text))

    def begun(self, text: str) -> Any:
        """Submit the request that the thread waits in."""
        answer = self.submit(text)
        assert self.reached.wait(30)
        return answer


def test_a_batch_has_as_many_requests_as_fit_and_keeps_their_order() -> None:
    recorder = Recorder(max_batch_tokens=10)
    answers = [recorder.begun("first")]
    answers += [recorder.submit(text) for text in ("abcd", "efgh", "ij", "k", "a text that is longer", "l")]
    recorder.go.set()
    recorder.batcher.stop()
    # Each request has two bytes per token, which is known after the first.
    assert recorder.calls == [["first"], ["abcd", "efgh", "ij"], ["k"], ["a text that is longer"], ["l"]]
    assert [answer.result(0)[0]["text"] for answer in answers] == [
        text for call in recorder.calls for text in call
    ]


def test_an_incomplete_batch_waits_for_further_requests() -> None:
    recorder = Recorder(max_wait_ms=60_000, max_batch_tokens=8)
    recorder.go.set()
    answers = [recorder.submit(text) for text in ("ab", "cd")]
    assert [len(answer.result(30)) for answer in answers] == [1, 1]
    assert recorder.calls == [["ab", "cd"]]
    recorder.batcher.stop()


def test_the_wait_ends_after_its_time() -> None:
    recorder = Recorder(max_wait_ms=1)
    recorder.go.set()
    assert recorder.submit("ab").result(30)
    recorder.batcher.stop()


def test_several_workers_compute_batches_at_the_same_time() -> None:
    recorder = Recorder(workers=2, max_batch_tokens=1)
    answers = [recorder.submit(text) for text in "abcd"]
    until(lambda: len(recorder.calls) == 2)
    assert len(recorder.batcher) == 2
    recorder.go.set()
    recorder.batcher.stop()
    assert sorted(answer.result(0)[0]["text"] for answer in answers) == list("abcd")


def test_a_stopped_batcher_answers_what_waits_and_refuses_the_rest() -> None:
    recorder = Recorder(queue=2)
    answers = [recorder.begun("a"), recorder.submit("b"), recorder.submit("c")]
    with pytest.raises(QueueFullError, match="2 requests wait already"):
        recorder.submit("d")
    stopping = threading.Thread(target=recorder.batcher.stop)
    stopping.start()
    until(lambda: recorder.batcher.stopped)
    with pytest.raises(StoppedError, match="the server is stopping"):
        recorder.submit("d")
    recorder.go.set()
    stopping.join(30)
    assert [answer.result(0)[0]["text"] for answer in answers] == ["a", "b", "c"]


def test_a_request_whose_client_has_gone_is_not_computed() -> None:
    recorder = Recorder()
    answers = [recorder.begun("a"), recorder.submit("b"), recorder.submit("c")]
    assert answers[1].cancel()
    recorder.go.set()
    recorder.batcher.stop()
    assert recorder.calls == [["a"], ["c"]]
