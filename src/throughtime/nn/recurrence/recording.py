"""Named values inside a step: `record` marks them in f, and `Recurrence.trace` returns them at every step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError


class _Recording:
    """What one step has recorded, and what is added to each value, for its gradient."""

    def __init__(self, rows: int, added: Mapping[str, Tensor]) -> None:
        self.rows, self.added = rows, added
        self.values: dict[str, Tensor] = {}

    def add(self, name: str, value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise InputTypeError(f"record: {name!r} must be a tensor, got {type(value).__name__}")
        if value.dim() < 1 or value.shape[0] != self.rows:
            raise ShapeError(
                f"record: {name!r} must have one row for each sequence, got shape {tuple(value.shape)}"
            )
        if name in self.values:
            raise InputTypeError(f"record: {name!r} is recorded twice in one step; use another name")
        recorded: Tensor = value + self.added[name] if name in self.added else value
        self.values[name] = recorded
        return recorded


_CURRENT: ContextVar[_Recording | None] = ContextVar("recording", default=None)


def record(name: str, value: Tensor) -> Tensor:
    r"""Name a value inside of a step, so that `Recurrence.trace` returns it, and its gradient, at every step.

    Returns the value. Outside of a trace this does nothing else, so a recorded step is as fast as another.

    Parameters
    ----------
    name : str
        A name that no other value of the step has.
    value : Tensor
        (n, …), one row for each sequence. Use what is returned in place of it: its gradient is the one that
        a trace has.

    Raises
    ------
    InputTypeError, ShapeError
        In a trace: if the value is no tensor, does not have a row for each sequence, or the name is not
        unique.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch import nn
    >>> gate, candidate = nn.Linear(8, 5), nn.Linear(8, 5)
    >>> def f(h, x):
    ...     z = tt.nn.record("update", torch.sigmoid(gate(torch.cat([x, h], 1))))
    ...     return (1 - z) * h + z * torch.tanh(candidate(torch.cat([x, h], 1)))
    >>> layer = tt.nn.Recurrence(f, state=5)
    >>> trace = layer.trace(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]), gradients=True)
    >>> trace.recorded["update"]
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    >>> trace.result.output.values.square().sum().backward()
    >>> trace.gradients.recorded["update"]
    Ragged(lengths=[4, 2], features=(5,), dtype=float32)
    """
    recording = _CURRENT.get()
    return value if recording is None else recording.add(name, value)


@contextmanager
def _recording(rows: int, added: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    recording = _Recording(rows, added)
    token = _CURRENT.set(recording)
    try:
        yield recording.values
    finally:
        _CURRENT.reset(token)


def recorded(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f as a function of (state, recorded values) and (token, what is added to values and states)."""
    return partial(_recorded_step, f)  # copies, pickles and traces follow f in it


def _recorded_step(f: Callable[..., Any], state: Any, token: Any, **more: Any) -> Any:
    (state, _), (x_t, (to_states, to_values)) = state, token
    rows = pytree.tree_leaves(state)[0].shape[0]
    with _recording(rows, to_values) as values:
        after = f(state, x_t, **more)
    if to_states:
        leaves, structure = pytree.tree_flatten(after)
        sums = [leaf + to_states[at] if at in to_states else leaf for at, leaf in enumerate(leaves)]
        after = pytree.tree_unflatten(sums, structure)
    return after, values


class Recorded:
    """The values that a step records, and zeros that are added to them and to states, for their gradients.

    Parameters
    ----------
    values : mapping of str to Tensor
        One of no rows for each value that is recorded.
    states
        Before the first step, each leaf (B, …).
    tokens : int
        T.
    gradients
        Whether gradients of states and values at every step are wanted.
    """

    def __init__(self, values: Mapping[str, Tensor], states: Any, tokens: int, *, gradients: bool) -> None:
        leaves, self._structure = pytree.tree_flatten(states)
        self._before = {name: _zeros(value, leaves[0].shape[0]) for name, value in values.items()}
        self.to_states: dict[int, Tensor] = {}
        self.to_values: dict[str, Tensor] = {}
        if gradients:
            self.to_states = {
                at: _zeros(leaf, tokens).requires_grad_()
                for at, leaf in enumerate(leaves)
                if leaf.is_floating_point()
            }
            self.to_values = {
                name: _zeros(value, tokens).requires_grad_()
                for name, value in values.items()
                if value.is_floating_point()
            }

    def of_state(self, state: Any) -> Any:
        """Return a state together with the recorded values before the first step, which are not read."""
        return state, self._before

    def of_tokens(self, tokens: Any) -> Any:
        """Return tokens with what is added at each."""
        return tokens, (self.to_states, self.to_values)

    def state_gradients(self) -> Any:
        """Return the gradients of the states in their structure; None where there is none."""
        gradients = [_gradient(self.to_states.get(at)) for at in range(self._structure.num_leaves)]
        return pytree.tree_unflatten(gradients, self._structure)

    def value_gradients(self) -> dict[str, Tensor | None]:
        """Return the gradients of the recorded values by name."""
        return {name: _gradient(added) for name, added in self.to_values.items()}


def _zeros(like: Tensor, rows: int) -> Tensor:
    return like.new_zeros(rows, *like.shape[1:])


def _gradient(added: Tensor | None) -> Tensor | None:
    return None if added is None else added.grad


def values_of_step(f: Callable[[Any, Any], Any], state: Any, token: Any) -> dict[str, Tensor]:
    """Return the values that a step records, by name, of a step of no sequences."""
    state, token = (pytree.tree_map(lambda part: part[:0], tree) for tree in (state, token))
    with torch.no_grad(), _recording(0, {}) as values:
        f(state, token)
    return values
