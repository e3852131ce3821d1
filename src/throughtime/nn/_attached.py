"""What takes part in a layer's runs inside of a ``with`` block, in the thread that entered it alone.

A layer has an attribute for each role, None while nobody has one: torch.compile guards on it, and the fast
path looks at nothing else. Otherwise it is a mapping from threads, replaced and never changed, so that
reading needs no lock.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import torch
from torch import nn

Role = Literal["_watchers", "_carriers"]

_T = TypeVar("_T")

_LOCK = threading.Lock()


class _ByThread(dict[int, Any]):
    """Belongs to a layer and not to its copies: nobody has a part in the calls of those."""

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return _nobody, ()


def _nobody() -> None:
    """Return what a copy has."""


@contextmanager
def attached(modules: Iterable[nn.Module], role: Role, part: object) -> Iterator[None]:
    """Give layers a ``part`` in this role for calls of this thread; afterwards what they had before."""
    thread = threading.get_ident()
    before = [(module, _exchanged(module, role, thread, part)) for module in modules]
    try:
        yield
    finally:
        for module, earlier in before:
            _exchanged(module, role, thread, earlier)


def in_this_thread(by_thread: Mapping[int, _T] | None) -> _T | None:
    """Return what this thread's calls have in a role."""
    return None if by_thread is None else _of_this_thread(by_thread)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the number of the thread would become a constant of the graph
def _of_this_thread(by_thread: Mapping[int, _T]) -> _T | None:
    return by_thread.get(threading.get_ident())


def _exchanged(module: nn.Module, role: Role, thread: int, part: object) -> object:
    """Put a part in its place, None for none, and return the one that was there."""
    with _LOCK:
        held = _ByThread(getattr(module, role) or {})
        earlier = held.pop(thread, None)
        if part is not None:
            held[thread] = part
        if held:
            setattr(module, role, held)
        else:
            module.__dict__.pop(role, None)  # the class has None
    return earlier
