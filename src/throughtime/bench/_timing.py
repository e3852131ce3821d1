"""Times of several contenders, taken in turns: what drifts on the machine meets all of them."""

import statistics
import time
from collections.abc import Callable, Sequence

# ONNX Runtime's and OpenMP's threads look for work for some milliseconds after a call; on a machine with as
# many cores as threads, what runs beside them takes up to 2.5 times as long.
_PAUSE = 0.1

Call = Callable[[], object]


def in_turns(calls: Sequence[Call], rounds: int, seconds: float) -> list[float]:
    """Return the median time of each call in seconds.

    In every round each call has one turn: a pause in which the threads of the one before it stop spinning,
    one untimed call in which its own wake, then again and again until ``seconds`` have passed.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, found in zip(calls, times, strict=True):
            time.sleep(_PAUSE)
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
