"""Eight Python threads that use one module at once."""

import sys
import threading
from collections.abc import Callable
from typing import Any

THREADS = 8


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """What ``call`` returns for 0 to 7, each from a thread of its own that begins with the others."""
    results: list[Any] = [None] * THREADS
    errors: list[BaseException] = []
    begin = threading.Barrier(THREADS)

    def run(number: int) -> None:
        try:
            begin.wait()
            results[number] = call(number)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns within a layer's Python code
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]
    return results
