"""Fast comparison of the contents of many places with their previous contents."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from torch import Tensor

from throughtime.ops.program.tracing.places import Place
from throughtime.ops.program.tracing.walk import MISSING


class Guards:
    """Whether places have the very objects that they had when this was made; tensors may be others.

    Parameters
    ----------
    entries : iterable of (Place, value)
        The places, and what is there; `MISSING` where nothing is.
    sized : list
        Containers that have to keep their sizes.
    """

    def __init__(self, entries: Iterable[tuple[Place, Any]], sized: list[Any]) -> None:
        keys: dict[int, tuple[Any, list[Any]]] = {}
        absent: dict[int, tuple[Any, set[Any]]] = {}
        for place, value in entries:
            if value is MISSING:
                absent.setdefault(id(place.container), (place.container, set()))[1].add(place.key)
            elif not isinstance(value, Tensor):
                keys.setdefault(id(place.container), (place.container, []))[1].append(place.key)
        self._absent = [of for of in absent.values() if isinstance(of[0], dict)]
        self._groups = [(container, _getter(of)) for container, of in keys.values()]
        self._values = [
            getter(container) for container, getter in self._groups
        ]  # so that no id is used again
        self._ids = [tuple(map(id, values)) for values in self._values]
        self._sized = sized
        self._sizes = list(map(len, sized))

    def hold(self) -> bool:
        """Tell whether nothing has changed."""
        try:
            current = [tuple(map(id, getter(container))) for container, getter in self._groups]
        except (KeyError, IndexError, ValueError):
            return False
        same = current == self._ids and list(map(len, self._sized)) == self._sizes
        return same and all(keys.isdisjoint(container) for container, keys in self._absent)


def _getter(keys: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    if len(keys) == 1:
        return lambda container: (container[keys[0]],)
    return itemgetter(*keys)
