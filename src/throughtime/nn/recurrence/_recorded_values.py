"""`RecordedValues`: the values that f names in a step, found once while what f reads does not change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.nn.recurrence.recording import values_of_step
from throughtime.ops.program.tracing.watching import Watched

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class _Known:
    key: _Key
    watched: Watched
    tensors: _Key
    values: dict[str, Tensor]

    def holds(self, key: _Key) -> bool:
        return self.key == key and self.watched.holds() and self.watched.tensor_kinds() == self.tensors


class RecordedValues:
    """Finds the values that a transition records by a step of no sequences.

    Parameters
    ----------
    f : callable
        (state, token) to the next state.

    Attributes
    ----------
    steps : int
        How often f ran.
    """

    def __init__(self, f: Callable[[Any, Any], Any]) -> None:
        self._f = f
        self._known: _Known | None = None
        self.steps = 0

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Copy the function alone."""
        return RecordedValues, (self._f,)

    def of(self, state: Any, token: Any) -> dict[str, Tensor]:
        """Return a tensor of no rows for each recorded value, by name."""
        key = *_kinds(state), *_kinds(token), torch.get_default_dtype(), _autocast()
        if self._known is not None and self._known.holds(key):
            return self._known.values
        self.steps += 1
        watched = _watched(self._f)
        values = values_of_step(self._f, state, token)
        keeps = watched is not None and not _of_transforms(values)
        self._known = _Known(key, watched, watched.tensor_kinds(), values) if keeps else None  # type: ignore[union-attr, arg-type]
        return values


def _watched(f: Callable[..., Any]) -> Watched | None:
    """Return what f reads, or None if that cannot be found out."""
    try:
        return Watched(f)
    except Exception:
        return None


def _of_transforms(values: dict[str, Tensor]) -> bool:
    """Tell whether values belong to a function transform, and must not outlive it."""
    return any(torch._C._functorch.is_functorch_wrapped_tensor(value) for value in values.values())  # noqa: SLF001


def _kinds(structure: Any) -> _Key:
    leaves, shape = pytree.tree_flatten(structure)
    return str(shape), *((leaf.shape[1:], leaf.dtype, leaf.device) for leaf in leaves)


def _autocast() -> torch.dtype | None:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
