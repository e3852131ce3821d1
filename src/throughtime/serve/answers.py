"""`Answers`: futures of threads that a coroutine awaits, of which a whole batch wakes the event loop once."""

import asyncio
from collections import deque
from concurrent.futures import Future  # noqa: TC003 - the doctest uses it, too
from functools import partial
from typing import Any

_Pair = tuple["asyncio.Future[Any]", "Future[Any]"]


class Answers:
    """Awaits answers that another thread sets.

    `asyncio.wrap_future` wakes the event loop for every answer, and each time Python's lock changes its
    thread; a batch of a hundred answers would take longer to be handed over than to be computed.

    Examples
    --------
    >>> async def main():
    ...     answer = Future()
    ...     answer.set_result("yes")
    ...     return await Answers().of(answer)
    >>> asyncio.run(main())
    'yes'
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: deque[_Pair] = deque()
        self._woken = False

    def of(self, answer: "Future[Any]") -> "asyncio.Future[Any]":
        """Return a future of the event loop for an answer; if it is cancelled, so is the answer."""
        waiting = self._loop.create_future()
        waiting.add_done_callback(lambda _: answer.cancel())  # has no effect on one that is set
        answer.add_done_callback(partial(self._arrived, waiting))
        return waiting

    def _arrived(self, waiting: "asyncio.Future[Any]", answer: "Future[Any]") -> None:
        self._ready.append((waiting, answer))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._woken = False  # before the queue is read, so that what arrives after that wakes the loop again
        while self._ready:
            waiting, answer = self._ready.popleft()
            if not waiting.done() and not answer.cancelled():
                _copy(answer, waiting)


def _copy(answer: "Future[Any]", waiting: "asyncio.Future[Any]") -> None:
    error = answer.exception()
    if error is None:
        waiting.set_result(answer.result())
    else:
        waiting.set_exception(error)
