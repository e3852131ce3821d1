"""Descriptions of composite modules: parts in series, in parallel, or in reversed time."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from throughtime.nn.inputs.output import unwrapped


class Series(NamedTuple):
    """Parts one after the other, with their names.

    A part is a module, a description, or any other callable, which has to treat each step alone. Called with
    an input, a series returns what its last part returns.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> series = tt.nn.description.Series.of(conv=tt.nn.Conv1d(4, 8, 3), activation=torch.tanh)
    >>> tt.nn.receptive_field(series)
    ReceptiveField(first=0, last=2, stride=1)
    """

    parts: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, **parts: Any) -> "Series":
        """Name the parts; those that are None are left out."""
        return cls(tuple((name, part) for name, part in parts.items() if part is not None))

    def __call__(self, x: Any) -> Any:
        """Call the parts one after the other."""
        for _, part in self.parts:
            x = unwrapped(part(x))
        return x


class SideBySide(NamedTuple):
    """Parts side by side on the same input, and the function that joins the list of their outputs."""

    parts: tuple[tuple[str, Any], ...]
    merge: Callable[[list[Any]], Any]

    def __call__(self, x: Any) -> Any:
        """Call each part on the input, and join their outputs."""
        return self.merge([unwrapped(part(x)) for _, part in self.parts])


class Reversed(NamedTuple):
    """A part that reads every sequence from its end; its outputs come back in the order of time."""

    part: Any

    def __call__(self, x: Any) -> Any:
        """Call the part on the reversed sequences."""
        return unwrapped(self.part(unwrapped(x).reverse())).reverse()


class OfTokens(NamedTuple):
    """A function of the values (T, …) of a batch, each row by itself, as a function of the batch.

    ``features`` is the number of features that it reads, None for token numbers, "any" if it takes any.
    """

    function: Callable[[Any], Any]
    features: int | Literal["any"] | None = "any"

    def __call__(self, x: Any) -> Any:
        """Call the function on the values."""
        return x.with_values(self.function(x.values))


Composition = Series | SideBySide | Reversed
"""The description of a composite module."""


def named(modules: Iterable[Any], name: str) -> tuple[tuple[str, Any], ...]:
    """Name modules by their place in a list."""
    return tuple((f"{name}.{place}", module) for place, module in enumerate(modules))


def join(path: str, name: str) -> str:
    """Return the path of a part."""
    return f"{path}.{name}" if path and name else path or name
