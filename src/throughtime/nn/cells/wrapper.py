"""Base of cells that wrap another cell, with its states and parameters."""

from typing import Any

from torch import Tensor

from throughtime.nn.cells.torch_cells import as_cell
from throughtime.nn.recurrence.cell import Cell


class Wrapper(Cell):
    """A cell that wraps another cell."""

    def __init__(self, cell: Any) -> None:
        inner = as_cell(cell, type(self).__name__)
        super().__init__(inner.input_size, inner.hidden_size)
        self.cell = inner
        self.state_names, self.scaled_together = inner.state_names, inner.scaled_together
        self.stuck_gates = dict(inner.stuck_gates)

    @property
    def initial_state(self) -> Any:
        """The initial state of the wrapped cell."""
        return self.cell.initial_state

    def read_out(self, state: Any) -> Any:
        """Return the output of the wrapped cell."""
        return self.cell.read_out(state)

    def prepare(self, tokens: Tensor) -> Any:
        """Return the tokens prepared by the wrapped cell."""
        return self.cell.prepare(tokens)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return those of the wrapped cell."""
        return self.cell.recurrent_blocks()

    def reset_parameters(self) -> None:
        """Reinitialise the parameters of the wrapped cell."""
        self.cell.reset_parameters()
