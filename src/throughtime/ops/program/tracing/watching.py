"""Check whether everything that a trace depends on is unchanged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.guards import Guards
from throughtime.ops.program.tracing.places import Place
from throughtime.ops.program.tracing.source import operator_name
from throughtime.ops.program.tracing.walk import MISSING, Walk


class Watched:
    """All that a function can read without being given it, as it was when this was made.

    Tensors may be replaced by others of their shape and dtype: they are read anew at each call.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        walk = Walk(f)
        self._entries = walk.entries
        self._tensors = {id(value): place for place, value in walk.entries if isinstance(value, Tensor)}
        self._partial = walk.partial
        self._sized = [(container, name, len(container)) for container, name in walk.sized]
        self._guards = Guards(walk.entries, [container for container, _ in walk.sized])

    def holds(self) -> bool:
        """Tell whether nothing was changed but tensors, and what f itself changes."""
        return self._guards.hold()

    def tensors(self) -> list[tuple[str, Tensor]]:
        """Return the tensors that the function can read, with the names of their places."""
        return [(place.name, value) for place, value in self._entries if isinstance(value, Tensor)]

    def tensor_kinds(self) -> tuple[Any, ...]:
        """Return shape and dtype of each tensor that the function can read at present."""
        tensors = [_read(place) for place, value in self._entries if isinstance(value, Tensor)]
        return tuple([(part.shape, part.dtype) if isinstance(part, Tensor) else None for part in tensors])

    @contextmanager
    def plain_tensors(self) -> Iterator[None]:
        """Put plain tensors in the place of those of function transforms, which a trace cannot take."""
        lazy = next((place.name for place, value in self._entries if is_lazy(value)), None)
        if lazy is not None:
            raise UntraceableError(f"{lazy} is not initialised before the first call of f")
        wrapped = [(place, value) for place, value in self._entries if _is_wrapped(value)]
        for place, value in wrapped:
            plain = _plain_like(value)
            self._tensors[id(plain)] = place
            _write(place, plain)
        try:
            yield
        finally:
            for place, value in wrapped:
                _write(place, value)

    def change(self) -> str:
        """Return the name of something that has changed."""
        for place, value in self._entries:
            if not isinstance(value, Tensor) and value is not _read(place):
                return place.name
        changed = (name for container, name, size in self._sized if len(container) != size)
        return next(changed, "a tensor")

    def place(self, tensor: Tensor, node: fx.Node) -> Place:
        """Return the place of a tensor that was encountered in tracing."""
        place = self._tensors.get(id(tensor))
        if place is not None:
            return place
        if all(operator_name(user).startswith("lift_fresh") for user in node.users):
            return Place([tensor], 0, "a constant")
        inner = chain.from_iterable(map(_places_in, self._partial))
        place = next((place for place in inner if place.read() is tensor), None)
        if place is not None:
            return place
        line = node.meta.get("line", "an unknown line")
        raise UntraceableError(
            f"f reads a tensor of shape {tuple(tensor.shape)} at {line} that is not one of its attributes, "
            "of the variables of its closure, or of its globals"
        )

    def restore(self) -> None:
        """Restore what f replaced while it was traced; raise for an f that stores values of a step."""
        changed = [(place, value) for place, value in self._entries if _read(place) is not value]
        names = [place.name for place, _ in changed if _is_of_a_step(_read(place))]
        grown = [(container, name, size) for container, name, size in self._sized if len(container) > size]
        for place, value in changed:
            _write(place, value)
        for container, _, size in grown:
            _cut(container, size)
        names += [name for _, name, _ in grown]
        if names:
            self._ignore([place for place, _ in changed], [container for container, _, _ in grown])
            raise UntraceableError(f"f sets {names[0]} while it runs, which the native loop would skip")

    def _ignore(self, places: list[Place], containers: list[Any]) -> None:
        """Exclude values that f itself sets from the comparison."""
        places_of = {(id(place.container), place.key) for place in places}
        entries = [one for one in self._entries if (id(one[0].container), one[0].key) not in places_of]
        ids = set(map(id, containers))
        self._guards = Guards(
            entries, [container for container, _, _ in self._sized if id(container) not in ids]
        )


def _cut(container: Any, size: int) -> None:
    """Remove entries that were added to a container."""
    if isinstance(container, dict):
        for key in list(container)[size:]:
            del container[key]
    else:
        del container[size:]


def _places_in(module: nn.Module) -> Iterator[Place]:
    for inner in module.modules():
        for space in (inner._parameters, inner._buffers):  # noqa: SLF001 - where a module's tensors are
            for key in space:
                yield Place(space, key, key)


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(value)  # noqa: SLF001


def _plain_like(value: Tensor) -> Tensor:
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    with temporarily_clear_interpreter_stack():
        return torch.empty(value.shape, dtype=value.dtype, device=value.device)


def _is_of_a_step(value: Any) -> bool:
    """Tell whether a value that f has set is more than a weight that it computes again at every step."""
    return not isinstance(value, Tensor) or any(isinstance(size, torch.SymInt) for size in value.shape)


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
