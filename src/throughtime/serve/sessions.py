"""`Sessions`: the open streams of a run, whose chunks that wait are read by the model in one batch."""

import asyncio
import contextlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol

from throughtime._words import counted
from throughtime.errors import ThroughtimeError
from throughtime.serve.answers import Answers
from throughtime.serve.batcher import Batcher, Job, QueueFullError
from throughtime.serve.metrics import ModelMetrics
from throughtime.serve.options import ServeOptions
from throughtime.streaming import Stream


class Streaming(Protocol):
    """A loaded model."""

    @property
    def stream(self) -> Stream:
        """Its sequences."""


@dataclass(frozen=True)
class _Chunk:
    key: Hashable
    content: Any


@dataclass(frozen=True)
class _End:
    key: Hashable


class _Open:
    """A stream that begins."""


class Session:
    """One stream; the model that it began with reads all of it."""

    def __init__(self, sessions: "Sessions", stream: Stream, key: Hashable) -> None:
        self._sessions, self._stream, self._key = sessions, stream, key
        self._is_open = True

    async def push(self, chunk: Any, size: int) -> dict[str, Any]:
        """Read a chunk and return the prediction so far.

        Raises
        ------
        ThroughtimeError
            If the chunk cannot be read; the stream goes on without it.
        """
        answer: dict[str, Any] = await self._sessions.ask(_Chunk(self._key, chunk), self._stream, size)
        return answer

    async def end(self) -> dict[str, Any]:
        """End the stream and return the prediction for all of it."""
        answer: dict[str, Any] = await self._sessions.ask(_End(self._key), self._stream, 0)
        self._is_open = False
        return answer

    def forget(self) -> None:
        """Release the state of a stream that has not ended; awaits nothing, as its task may be cancelled."""
        if self._is_open:
            asyncio.get_running_loop().run_in_executor(None, self._close)
        self._sessions.closed()

    def _close(self) -> None:
        with contextlib.suppress(ThroughtimeError):
            self._stream.discard(self._key)


class Sessions:
    """The open streams of a run.

    Parameters
    ----------
    options : ServeOptions
        Size of batches and of the queue, and the number of streams.
    metrics : ModelMetrics
        Where streams are counted.
    name : str
        Of the thread.
    """

    def __init__(self, options: ServeOptions, metrics: ModelMetrics, name: str) -> None:
        self._metrics, self._most, self._open = metrics, options.max_streams, 0
        self._batcher = Batcher(self._answer, replace(options, workers=1), name)

    @property
    def waiting(self) -> int:
        """Number of chunks that wait."""
        return len(self._batcher)

    def start(self) -> None:
        """Start to read chunks for the running event loop."""
        self._answers = Answers()
        self._batcher.start()

    def stop(self) -> None:
        """Read the chunks that wait, and take no more."""
        self._batcher.stop()

    async def open(self, loaded: Streaming) -> Session:
        """Begin a stream.

        Raises
        ------
        QueueFullError
            If too many are open, or too many chunks wait.
        NotCausalError, UnsupportedError
            If the model or its inputs need whole sequences.
        """
        if self._open >= self._most:
            raise QueueFullError(f"{counted(self._open, 'stream')} open already; connect again later")
        self._open += 1
        self._metrics.streams.inc()
        try:
            stream = loaded.stream
            return Session(self, stream, await self.ask(_Open(), stream, 0))
        except BaseException:
            self.closed()
            raise

    async def ask(self, content: Any, stream: Stream, size: int) -> Any:
        """Return the answer to a step of a stream, which is computed together with those of other streams."""
        return await self._answers.of(self._batcher.submit(content, stream, size))

    def closed(self) -> None:
        """Count a stream that is no longer open."""
        self._open -= 1
        self._metrics.streams.dec()

    def _answer(self, jobs: Sequence[Job]) -> int:
        for stream, group in groupby(jobs, lambda job: job.model):
            steps = list(group)
            chunks = [job for job in steps if isinstance(job.content, _Chunk)]
            for job in steps:
                if not isinstance(job.content, _Chunk):
                    _begin_or_end(stream, job)
            if chunks:
                self._metrics.stream_batch.observe(len(chunks))
                _push(stream, chunks)
        return sum(job.size for job in jobs)


def _begin_or_end(stream: Stream, job: Job) -> None:
    try:
        answer = stream.open() if isinstance(job.content, _Open) else stream.close(job.content.key)
    except ThroughtimeError as error:
        job.answer.set_exception(error)
    else:
        job.answer.set_result(answer)


def _push(stream: Stream, jobs: Sequence[Job]) -> None:
    """Set the answers of chunks in one batch; if one cannot be read, only its own answer is the error."""
    try:
        answers = stream.push({job.content.key: job.content.content for job in jobs})
    except ThroughtimeError as error:
        if len(jobs) == 1:
            jobs[0].answer.set_exception(error)
            return
        middle = len(jobs) // 2
        _push(stream, jobs[:middle])
        _push(stream, jobs[middle:])
        return
    for job in jobs:
        job.answer.set_result(answers[job.content.key])
