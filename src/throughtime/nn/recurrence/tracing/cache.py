"""Traces of one function, for as long as what they depend on stays as it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.nn.recurrence.tracing.errors import UntraceableError
from throughtime.nn.recurrence.tracing.step import TracedStep, traced
from throughtime.nn.recurrence.tracing.watching import Watched

MOST_TRACES = 8
"""So many traces of a function are kept, such as those of training and of evaluation."""


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
    """Traces a function when it has to.

    Parameters
    ----------
    f : callable
        (state, token) to the next state.
    """

    def __init__(self, f: Callable[[Any, Any], Any]) -> None:
        self._f = f
        self._traces: list[_Trace] = []
        self._calls = 0
        self._traced = 0

    def step(self, state: Any, token: Any) -> TracedStep:
        """Return the traced step for states and tokens like these, with any number of rows.

        Raises
        ------
        UntraceableError
            If f cannot be traced; the message is one line that says why.
        """
        self._calls += 1
        key = _key(state, token)
        for position, trace in enumerate(self._traces):
            if trace.holds(key):
                if position:
                    self._traces.insert(0, self._traces.pop(position))
                return _result(trace)
        return _result(self._new(key, state, token))

    def _new(self, key: tuple[Any, ...], state: Any, token: Any) -> _Trace:
        self._check_rate(key)
        self._traced += 1
        watched = Watched(self._f)
        result: TracedStep | str
        try:
            try:
                result = traced(self._f, state, token, watched)
            finally:
                watched.restore()
        except UntraceableError as error:
            result = str(error)
        self._traces.insert(0, _Trace(key, watched, result))
        del self._traces[MOST_TRACES:]
        return self._traces[0]

    def _check_rate(self, key: tuple[Any, ...]) -> None:
        """Refuse a function that had to be traced at every other call."""
        if self._traced >= 2 * MOST_TRACES and 2 * self._traced > self._calls:
            like = next((trace for trace in self._traces if trace.key == key), None)
            what = "the kind of its arguments" if like is None else like.watched.change()
            raise UntraceableError(f"f would be traced again at every call, because {what} changes; make it a tensor")


def _result(trace: _Trace) -> TracedStep:
    if isinstance(trace.result, str):
        raise UntraceableError(trace.result)
    return trace.result


def _key(state: Any, token: Any) -> tuple[Any, ...]:
    kinds = torch.is_grad_enabled(), torch.get_default_dtype()
    if isinstance(state, Tensor) and isinstance(token, Tensor):
        return *kinds, state.shape[1:], state.dtype, token.shape[1:], token.dtype
    leaves, structure = pytree.tree_flatten((state, token))
    shapes = [(leaf.shape[1:], leaf.dtype) if isinstance(leaf, Tensor) else type(leaf) for leaf in leaves]
    return *kinds, structure, shapes
