"""Names of a transition's states and gates, for those who watch it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from throughtime.nn.recurrence._cell_transition import is_cell
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrent.cells import spec_of_cell


@dataclass(frozen=True)
class Names:
    """Names of what a transition has.

    Parameters
    ----------
    kind
        Kind of cell.
    states
        Of the leaves of the state.
    stuck_gates
        What it means if a gate is nearly always "closed" or "open", see `throughtime.nn.Cell`.
    """

    kind: str
    states: tuple[str, ...]
    stuck_gates: Mapping[tuple[str, str], str]


def names_of(f: Any, leaves: int) -> Names:
    """Return the names of a transition with so many leaves of its state."""
    kind = type(f).__name__
    if isinstance(f, Cell) and len(f.state_names) == leaves:
        return Names(kind, f.state_names, f.stuck_gates)
    if is_cell(f):
        spec = spec_of_cell(f)
        return Names(kind, spec.states, spec.stuck_gates)
    states = ("h",) if leaves == 1 else tuple(f"state {number}" for number in range(leaves))
    return Names(kind if isinstance(f, nn.Module) else "Recurrence", states, {})
