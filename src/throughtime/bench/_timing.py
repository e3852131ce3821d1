"""Interleaved timing of several functions, so that drift of the machine affects all of them."""

import statistics
import time
from collections.abc import Callable, Sequence

# Threads of ONNX Runtime and OpenMP spin for some milliseconds after a call; with as many threads as cores,
# other code takes up to 2.5 times as long meanwhile.
_PAUSE = 0.1

Call = Callable[[], object]


def in_turns(calls: Sequence[Call], rounds: int, seconds: float) -> list[float]:
    """Return the median time of each call in seconds.

    In every round, each call is preceded by a pause, so that threads of the previous one stop spinning, and
    by one untimed call, and is then repeated for ``seconds``.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, call_times in zip(calls, times, strict=True):
            time.sleep(_PAUSE)
            call()
            call_times.append(_time(call, seconds))
    return [statistics.median(call_times) for call_times in times]


def _time(call: Call, seconds: float) -> float:
    count, start = 0, time.perf_counter()
    while True:
        call()
        count += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return elapsed / count
