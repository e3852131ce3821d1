"""`Batcher`: a bounded queue of requests, and threads that process those that wait together."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from throughtime.serve.options import ServeOptions


class QueueFullError(Exception):
    """As many requests wait as the queue holds."""


class StoppedError(Exception):
    """The batcher takes no more requests."""


@dataclass(eq=False)
class Job:
    """What is to be predicted, and the answer.

    Parameters
    ----------
    content
        The rows of a request, or the chunk of a stream.
    model
        What predicts it; that of the moment when the request arrived.
    size : int
        Bytes of the request, from which the number of its tokens is estimated before they are known.
    answer : Future
        Receives the predictions.
    arrived : float
        When it was submitted, in seconds of `time.perf_counter`.
    """

    content: Any
    model: Any
    size: int
    answer: "Future[Any]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)


class Batcher:
    """Worker threads that take all waiting requests up to a number of tokens, and process them in one call.

    Parameters
    ----------
    process : callable
        Sets the answers of the jobs that it is given, and returns the number of their tokens.
    options : ServeOptions
        Size of batches, of the queue, and the number of threads.
    name : str
        Of the threads.

    Examples
    --------
    >>> def upper(jobs):
    ...     for job in jobs:
    ...         job.answer.set_result([text.upper() for text in job.content])
    ...     return len(jobs)
    >>> batcher = Batcher(upper, ServeOptions(), "example")
    >>> batcher.start()
    >>> batcher.submit(["to be"], None, 5).result()
    ['TO BE']
    >>> batcher.stop()
    """

    def __init__(self, process: Callable[[Sequence[Job]], int], options: ServeOptions, name: str) -> None:
        self._process, self._options, self._name = process, options, name
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self.stopped = False
        self._threads: list[threading.Thread] = []
        self._bytes_per_token = 1.0

    def start(self) -> None:
        """Start the threads."""
        self._threads = [
            threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            for number in range(self._options.workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more requests, and return when those that wait are answered."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __len__(self) -> int:
        """Return the number of requests that wait."""
        return len(self._jobs)

    def submit(self, content: Any, model: Any, size: int) -> "Future[Any]":
        """Add a request to the queue and return its future answer.

        Raises
        ------
        QueueFullError
            If the queue is full.
        StoppedError
            If the batcher was stopped.
        """
        job = Job(content, model, size)
        with self._changed:
            if self.stopped:
                raise StoppedError("the server is stopping; send the request again later")
            if len(self._jobs) >= self._options.queue:
                raise QueueFullError(f"{len(self._jobs):,} requests wait already; send this one again later")
            self._jobs.append(job)
            self._changed.notify()
        return job.answer

    def _work(self) -> None:
        while jobs := self._next():
            wanted = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            if wanted:
                self._answer(wanted)

    def _answer(self, jobs: Sequence[Job]) -> None:
        try:
            tokens = self._process(jobs)
        except BaseException as error:
            for job in jobs:
                if not job.answer.done():
                    job.answer.set_exception(_ordinary(error))
        else:
            self._bytes_per_token = max(1.0, sum(job.size for job in jobs) / max(1, tokens))

    def _next(self) -> list[Job]:
        """Return the jobs of the next batch; none when the batcher has stopped and all are answered."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self.stopped)
                if self._options.max_wait_ms and self._jobs:
                    self._changed.wait_for(self._is_complete, self._patience())
                jobs = self._taken()  # none if another thread took them meanwhile
                if jobs or self.stopped:
                    return jobs

    def _patience(self) -> float:
        """Return the seconds until the first job has waited as long as it may."""
        return max(0.0, self._jobs[0].arrived + self._options.max_wait_ms / 1000 - time.perf_counter())

    def _is_complete(self) -> bool:
        return self.stopped or sum(job.size for job in self._jobs) >= self._room()

    def _room(self) -> float:
        return self._options.max_batch_tokens * self._bytes_per_token

    def _taken(self) -> list[Job]:
        jobs: list[Job] = []
        room = self._room()
        while self._jobs and (not jobs or self._jobs[0].size <= room):
            jobs.append(self._jobs.popleft())
            room -= jobs[-1].size
        return jobs


def _ordinary(error: BaseException) -> Exception:
    """Return an error that does not end the event loop, as SystemExit or a panic of Rust would."""
    if isinstance(error, Exception):
        return error
    failure = RuntimeError(f"{type(error).__name__} in a batch")
    failure.__cause__ = error
    return failure
