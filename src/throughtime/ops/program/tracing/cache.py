"""Cache of the traces of one function; a trace is valid while what it depends on is unchanged."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.step import TracedStep, traced
from throughtime.ops.program.tracing.watching import Watched

MOST_TRACES = 8
"""Maximum number of cached traces of a function, such as those of training and evaluation."""

_LOCK = threading.RLock()  # torch.fx replaces functions of torch while it traces


@dataclass(frozen=True)
class _Trace:
    key: tuple[Any, ...]
    watched: Watched
    result: TracedStep | str

    def holds(self, key: tuple[Any, ...]) -> bool:
        if self.key != key or not self.watched.holds():
            return False
        return isinstance(self.result, str) or self.result.has_constants()


class StepTracer:
    """Traces a function when no cached trace is valid.

    Parameters
    ----------
    f : callable
        (state, token) to the next state.

    Attributes
    ----------
    traces : int
        How often f was traced.
    """

    def __init__(self, f: Callable[[Any, Any], Any]) -> None:
        self._f = f
        self._kept: list[_Trace] = []
        self._calls = 0
        self.traces = 0

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Copy the function alone; the copy traces it again."""
        return StepTracer, (self._f,)

    def step(self, state: Any, token: Any) -> TracedStep:
        """Return the traced step for states and tokens like these, with any number of rows.

        Raises
        ------
        UntraceableError
            If f cannot be traced; the message is one line that says why.
        """
        self._calls += 1
        key = key_of(state, token)
        trace = self._known(key)
        if trace is None:
            with _LOCK, _without_hooks():
                trace = self._known(key) or self._new(key, state, token)
        return _result(trace)

    def known(self, key: tuple[Any, ...]) -> TracedStep | None:
        """Return the traced step of the last call if it has this key and f has not changed.

        Tensors that f reads may have other shapes, see `TracedStep.constants`.
        """
        last = self._kept[0] if self._kept else None
        if last is None or isinstance(last.result, str) or last.key != key or not last.watched.holds():
            return None
        self._calls += 1
        return last.result

    def _known(self, key: tuple[Any, ...]) -> _Trace | None:
        """Return a valid trace, and move it to the front of the cache."""
        trace = next((trace for trace in self._kept if trace.holds(key)), None)
        if trace is not None and trace is not self._kept[0]:
            self._kept = [trace, *(other for other in self._kept if other is not trace)]
        return trace

    def _new(self, key: tuple[Any, ...], state: Any, token: Any) -> _Trace:
        self._check_rate(key)
        self.traces += 1
        try:
            watched = Watched(self._f)
        except Exception as error:
            raise UntraceableError(_failed("looking for what f reads", error)) from error
        trace = _Trace(key, watched, self._result(watched, state, token))
        self._kept = [trace, *self._kept[: MOST_TRACES - 1]]
        return trace

    def _result(self, watched: Watched, state: Any, token: Any) -> TracedStep | str:
        """Return the traced step, or the reason why there is none; the caller can fall back to Python."""
        try:
            try:
                with watched.plain_tensors():
                    return traced(self._f, state, token, watched)
            finally:
                watched.restore()
        except UntraceableError as error:
            return str(error)
        except Exception as error:
            return _failed("tracing f", error)

    def _check_rate(self, key: tuple[Any, ...]) -> None:
        """Raise for a function that would be traced again at every call."""
        if self.traces >= 2 * MOST_TRACES and 2 * self.traces > self._calls:
            like = next((trace for trace in self._kept if trace.key == key), None)
            what = "the kind of its arguments" if like is None else like.watched.change()
            raise UntraceableError(
                f"f would be traced again at every call, because {what} changes; make it a tensor"
            )


def _without_hooks() -> AbstractContextManager[object]:
    """Hide the tensors that a trace saves from the hooks of the call, such as those of checkpointing."""
    enabled: bool = torch._C._autograd._saved_tensors_hooks_is_enabled()  # type: ignore[attr-defined]  # noqa: SLF001
    if not enabled:  # under function transforms
        return nullcontext()
    return torch.autograd.graph.saved_tensors_hooks(lambda part: part, lambda part: part)


def _failed(what: str, error: Exception) -> str:
    first = str(error).strip().split("\n")[0]
    return f"{what} failed with {type(error).__name__}: {first}"


def _result(trace: _Trace) -> TracedStep:
    if isinstance(trace.result, str):
        raise UntraceableError(trace.result)
    return trace.result


def key_of(state: Any, token: Any) -> tuple[Any, ...]:
    """Return what a trace depends on: modes, and the kinds of state and token."""
    return torch.is_grad_enabled(), torch.get_default_dtype(), _kind(state), _kind(token)


def _kind(value: Any) -> Any:
    """Return the structure of a state or token with what matters of its tensors."""
    if isinstance(value, Tensor):
        return value.shape[1:], value.dtype, value.device
    if type(value) in {tuple, list}:
        return type(value), *map(_kind, value)
    if type(value) is dict:
        return tuple(value), *map(_kind, value.values())
    leaves, structure = pytree.tree_flatten(value)
    if len(leaves) == 1 and leaves[0] is value:
        return type(value)
    return structure, *map(_kind, leaves)
