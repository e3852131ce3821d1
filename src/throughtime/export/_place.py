"""Where a value is computed: the path of a part in the model, for names in the graph and for messages."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from throughtime.nn.description.lookup import described


@dataclass(frozen=True)
class Place:
    """A part of the model: its path, its name in messages, and the name with its class."""

    path: str
    name: str
    described: str = ""

    @classmethod
    def of(cls, part: Any, path: str) -> "Place":
        """Return the place of a part; the model itself has no path, and the name of its class."""
        return cls(path, path or type(part).__name__, described(part, path))

    def weight(self, name: str) -> str:
        """Return the name of a weight in the graph."""
        return f"{self.path}.{name}" if self.path else name


def kind_of(part: Any) -> str:
    """Return what a part is, in words."""
    if isinstance(part, nn.Module):
        return f"a {type(part).__name__}"
    function = getattr(part, "function", part)
    return f"the function {getattr(function, '__name__', repr(function))}"
