"""Ctrl-C while the command ``throughtime`` imports its libraries, which takes seconds."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it."""


def is_command() -> bool:
    """Tell whether this process is the command, or ``python -m throughtime``."""
    if sys.argv[:1] == ["-m"]:  # while Python looks for the module
        place = sys.orig_argv.index("-m") if "-m" in sys.orig_argv else len(sys.orig_argv)
        return sys.orig_argv[place + 1 : place + 2] == ["throughtime"]
    return bool(sys.argv) and Path(sys.argv[0]).stem == "throughtime"


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """End the process at Ctrl-C, in place of raising KeyboardInterrupt.

    Libraries catch what is raised while they are imported, and would go on in halves. Nothing is open yet
    that would have to be closed. A handler that somebody else has set stays.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def say_stopped() -> None:
    """Say on standard error that Ctrl-C ended the command; a terminal has just shown ^C on the same line."""
    print("\nstopped" if sys.stderr.isatty() else "stopped", file=sys.stderr, flush=True)  # noqa: T201


def _end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's protocol
    try:
        say_stopped()
    finally:
        os._exit(INTERRUPTED)
