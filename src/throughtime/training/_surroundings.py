"""What a training changes of the process around it, and puts back: randomness, log levels, signals."""

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import torch


@contextmanager
def reproducible() -> Iterator[None]:
    """Choose deterministic algorithms; afterwards random state and flags are as they were before."""
    cuda = torch.cuda.is_available()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with (
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        torch.enable_grad(),
        _variable("CUBLAS_WORKSPACE_CONFIG", ":4096:8" if cuda else None),
    ):
        # On CUDA some operations have no deterministic form: torch then says so and goes on.
        torch.use_deterministic_algorithms(mode=True, warn_only=cuda)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable that is not set yet."""
    if value is None or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's announcements (devices, tips, "fit stopped") back; warnings still come through.

    But for two that nobody can act on: Lightning 2.6 itself makes a tree in a way that torch deprecates, and
    it warns of a GPU that is not used where the CPU was asked for.
    """
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "GPU available but not used", UserWarning)
        for name in ("pytorch_lightning", "lightning_fabric"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.WARNING)
        yield


class StopNow(BaseException):
    """Ctrl-C a second time: the training ends without saving anything more."""


class StopRequest:
    """Whether the user asked the training to end, with Ctrl-C."""

    def __init__(self) -> None:
        self.made = False

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's protocol
        if self.made:
            raise StopNow
        self.made = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C as a request; only a program's main thread can, elsewhere nothing changes.

        Lightning's own way is to ignore further signals and to end the process, which is not for a
        library to do, and it may strike between two halves of a step, which could not be taken up again.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
