"""Times of several contenders, taken in turns: what drifts on the machine meets all of them."""

import statistics
import time
from collections.abc import Callable, Sequence

Call = Callable[[], object]


def in_turns(calls: Sequence[Call], rounds: int, seconds: float) -> list[float]:
    """Return the median time of each call in seconds.

    In every round each call has one turn: once untimed, so that its threads wake and those of the one
    before it fall asleep, then again and again until ``seconds`` have passed.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, found in zip(calls, times, strict=True):
            call()
            found.append(_time(call, seconds))
    return [statistics.median(found) for found in times]


def _time(call: Call, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while True:
        call()
        count += 1
        passed = time.perf_counter() - start
        if passed >= seconds:
            return passed / count
