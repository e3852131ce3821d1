"""Whether all that a trace depends on is still as it was."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, fx

from throughtime.nn.recurrence.tracing.errors import UntraceableError
from throughtime.nn.recurrence.tracing.places import Place
from throughtime.nn.recurrence.tracing.source import operator_name
from throughtime.nn.recurrence.tracing.walk import MISSING, Walk


class Watched:
    """All that a function can read without being given it, as it was when this was made.

    Tensors may be replaced by others of their shape and dtype: they are read anew at each call.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        walk = Walk(f)
        self._entries = walk.entries
        self._tensors = {id(value): place for place, value in walk.entries if isinstance(value, Tensor)}
        self._sized = [container for container, _ in walk.sized]
        self._names = [name for _, name in walk.sized]
        self._sizes = self._current_sizes()
        keys: dict[int, tuple[Any, list[Any]]] = {}
        for place, value in walk.entries:
            if not isinstance(value, Tensor) and value is not MISSING:
                keys.setdefault(id(place.container), (place.container, []))[1].append(place.key)
        self._groups = [(container, _getter(of)) for container, of in keys.values()]
        self._values = [getter(container) for container, getter in self._groups]
        self._ids = [tuple(map(id, values)) for values in self._values]

    def holds(self) -> bool:
        """Tell whether nothing was changed but tensors."""
        try:
            current = [tuple(map(id, getter(container))) for container, getter in self._groups]
        except (KeyError, IndexError, ValueError):
            return False
        return current == self._ids and self._current_sizes() == self._sizes

    def _current_sizes(self) -> list[int]:
        return list(map(len, self._sized))

    def change(self) -> str:
        """Name something that is no longer as it was."""
        for place, value in self._entries:
            if not isinstance(value, Tensor) and value is not _read(place):
                return place.name
        changed = (name for name, a, b in zip(self._names, self._sizes, self._current_sizes(), strict=True) if a != b)
        return next(changed, "a tensor")

    def place(self, tensor: Tensor, node: fx.Node) -> Place:
        """Return where a tensor is that the trace has come upon."""
        place = self._tensors.get(id(tensor))
        if place is not None:
            return place
        if all(operator_name(user).startswith("lift_fresh") for user in node.users):
            return Place([tensor], 0, "a constant")
        line = node.meta.get("line", "an unknown line")
        raise UntraceableError(
            f"f reads a tensor of shape {tuple(tensor.shape)} at {line} that is not among its attributes, the "
            "variables of its closure, or globals"
        )

    def restore(self) -> None:
        """Put back what f has replaced while it was traced, and refuse an f that keeps something of a step."""
        changed = [(place, value) for place, value in self._entries if _read(place) is not value]
        names = [place.name for place, _ in changed if _is_of_a_step(_read(place))]
        for place, value in changed:
            _write(place, value)
        grown = self._cut()
        if names or grown:
            raise UntraceableError(f"f sets {(names or grown)[0]} while it runs, which the native loop would not do")

    def _cut(self) -> list[str]:
        """Take away what was added to containers, and return their names."""
        grown = []
        for container, name, size in zip(self._sized, self._names, self._sizes, strict=True):
            if len(container) > size:
                grown.append(name)
                for key in list(container)[size:] if isinstance(container, dict) else range(len(container) - size):
                    container.pop(*([key] if isinstance(container, dict) else []))
        return grown


def _is_of_a_step(value: Any) -> bool:
    """Tell whether a value that f has set is more than a weight that it computes again at every step."""
    return not isinstance(value, Tensor) or any(isinstance(size, torch.SymInt) for size in value.shape)


def _getter(keys: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    if len(keys) == 1:
        return lambda container: (container[keys[0]],)
    return itemgetter(*keys)


def _read(place: Place) -> Any:
    try:
        return place.read()
    except (KeyError, IndexError, ValueError):
        return MISSING


def _write(place: Place, value: Any) -> None:
    if value is MISSING:
        del place.container[place.key]
    elif not isinstance(place.container, tuple):
        place.container[place.key] = value


