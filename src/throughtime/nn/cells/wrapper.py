"""What cells around a cell share: its states and parameters."""

from typing import Any

from torch import Tensor

from throughtime.nn.cells.torch_cells import as_cell
from throughtime.nn.recurrence.cell import Cell


class Wrapper(Cell):
    """A cell around another one."""

    def __init__(self, cell: Any) -> None:
        inner = as_cell(cell, type(self).__name__)
        super().__init__(inner.input_size, inner.hidden_size)
        self.cell = inner
        self.state_names, self.scaled_together = inner.state_names, inner.scaled_together

    @property
    def initial_state(self) -> Any:
        """That of the cell."""
        return self.cell.initial_state

    def read_out(self, state: Any) -> Any:
        """Return what the cell reads out."""
        return self.cell.read_out(state)

    def prepare(self, tokens: Tensor) -> Any:
        """Return what the cell makes of tokens."""
        return self.cell.prepare(tokens)

    def reset_parameters(self) -> None:
        """Set the cell's parameters to new initial values."""
        self.cell.reset_parameters()
