"""What takes part in a layer's runs inside of a ``with`` block, in the thread that entered it alone.

A layer has an attribute for each role, None while nobody has one: torch.compile guards on it, and the fast
path looks at nothing else. Otherwise it is a mapping from threads, replaced and never changed, so that
reading needs no lock.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from throughtime.errors import UnsupportedError

Role = Literal["_watchers", "_carriers"]

_T = TypeVar("_T")

_LOCK = threading.Lock()


class CarriesState(nn.Module):
    """A layer with one recurrence, or several of one kind, over the steps of its input.

    Calls without a state ask a carrier where their streams begin, if there is one.
    """

    no_bounds: ClassVar[str] = "they cannot be clipped inside the layer"
    """Why the gradients inside the recurrence cannot be bounded; empty if they can."""

    # By thread, who knows where streams stopped, see `throughtime.bptt.Carried`.
    _carriers: Mapping[int, tuple[Any, ...]] | None = None

    def bound_gradients(self, *, value: float | None = None, norm: float | None = None) -> None:
        """Raise an error if there is a bound; a layer that can bound gradients overrides this.

        Raises
        ------
        UnsupportedError
            If ``value`` or ``norm`` is not None.
        """
        if value is not None or norm is not None:
            raise self.without_bounds(type(self).__name__)

    def without_bounds(self, name: str) -> UnsupportedError:
        """Return the error that says why the gradients inside this layer cannot be bounded."""
        return UnsupportedError(
            f"{name} has no bound on gradients: {self.no_bounds}; leave the bound out, or clip the gradients "
            "of the parameters"
        )


class Watchable(nn.Module):
    """A layer that reports its calls, and its recurrent weights."""

    # By thread, who is told of each run, see `throughtime.diagnose.watch`.
    _watchers: Mapping[int, tuple[Any, ...]] | None = None

    def recurrent_blocks(self) -> dict[tuple[int, int], dict[str, Tensor]]:
        """Return the square blocks (H, H) that h_{t−1} is multiplied by, for each layer and direction.

        They are named by the gate whose pre-activation they add to, "h" for that of h itself; none where the
        recurrent weights are not known as such blocks.
        """
        return {}


class _ByThread(dict[int, tuple[Any, ...]]):
    """Belongs to a layer and not to its copies: nobody has a part in the calls of those."""

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return _nobody, ()


def _nobody() -> None:
    """Return what a copy has."""


@contextmanager
def attached(modules: Iterable[nn.Module], role: Role, part: object) -> Iterator[None]:
    """Give layers a ``part`` of their own in this role for calls of this thread; the last one is in force."""
    thread, modules = threading.get_ident(), tuple(modules)
    for module in modules:
        _change(module, role, thread, lambda parts: (*parts, part))
    try:
        yield
    finally:
        for module in modules:
            # Wherever it is: blocks need not end in the order in which they began.
            _change(module, role, thread, lambda parts: tuple(one for one in parts if one is not part))


def in_this_thread(by_thread: Mapping[int, tuple[_T, ...]] | None) -> _T | None:
    """Return what this thread's calls have in a role."""
    return None if by_thread is None else _of_this_thread(by_thread)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the number of the thread would become a constant of the graph
def _of_this_thread(by_thread: Mapping[int, tuple[_T, ...]]) -> _T | None:
    parts = by_thread.get(threading.get_ident())
    return parts[-1] if parts else None


def _change(
    module: nn.Module, role: Role, thread: int, change: Callable[[tuple[object, ...]], tuple[object, ...]]
) -> None:
    with _LOCK:
        held = _ByThread(getattr(module, role) or {})
        parts = change(held.pop(thread, ()))
        if parts:
            held[thread] = parts
        if held:
            setattr(module, role, held)
        else:
            module.__dict__.pop(role, None)  # the class has None
