"""Places of the objects that a function reads: entries of namespaces, lists and cells of closures."""

from collections.abc import Mapping, Sequence
from types import CellType
from typing import Any, NamedTuple


class Contents:
    """A cell of a closure as a container with the one entry 0."""

    def __init__(self, cell: CellType) -> None:
        self.cell = cell

    def __getitem__(self, key: int) -> Any:
        return self.cell.cell_contents

    def __setitem__(self, key: int, value: Any) -> None:
        self.cell.cell_contents = value


Container = Mapping[Any, Any] | Sequence[Any] | Contents


class Place(NamedTuple):
    """An entry of a container, read anew at each call."""

    container: Any
    key: Any
    name: str

    def read(self) -> Any:
        """Return what is there now."""
        return self.container[self.key]
