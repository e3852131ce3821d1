"""Limits on the time and memory of a reader for any input."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from throughtime.errors import ThroughtimeError

SECONDS = 2.0
"""Of the processor, in this process."""
MEMORY = 256 * 2**20
"""Bytes above those that the process had before."""

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class BudgetExceeded(BaseException):
    """The reader has taken too long or too much. No ``except Exception`` in it gets this."""


def outcome(load: Callable[[], object]) -> object:
    """Return what ``load`` returns, or the error of throughtime that it raises; all else goes on."""
    with _time_limit():
        before = _memory()
        began = time.process_time()
        try:
            found: object = load()
        except ThroughtimeError as error:
            found = error
        seconds = time.process_time() - began
        more = _most_memory() - before
    if seconds > SECONDS or more > MEMORY:
        raise BudgetExceeded(f"{seconds:.1f} s and {more / 2**20:.0f} MiB")
    return found


@contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt Python code that does not end."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise BudgetExceeded(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _memory() -> int:
    """Return the bytes that are resident now, and begin to look for the most again."""
    if not _RESET.exists():  # not Linux: memory is not measured
        return 0
    _RESET.write_text("5")
    return _field("VmRSS")


def _most_memory() -> int:
    return _field("VmHWM") if _RESET.exists() else 0


def _field(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
