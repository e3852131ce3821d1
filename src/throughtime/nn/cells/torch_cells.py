"""The cells of torch.nn written in PyTorch operators, for wrappers that change their step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from throughtime.errors import InputTypeError
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrent.cells import CELLS, blocks_of_cell


def as_cell(cell: Any, wrapper: str) -> Cell:
    """Return a cell as it is, or one of torch's or ours, RNNCell, LSTMCell or GRUCell, as a `Cell`."""
    if isinstance(cell, Cell):
        return cell
    kind = parametrize.type_before_parametrizations(cell) if isinstance(cell, nn.Module) else None
    if kind in {nn.RNNCell, nn.LSTMCell, nn.GRUCell, *CELLS}:
        return next(adapter for base, adapter in _KINDS.items() if isinstance(cell, base))(cell)
    raise InputTypeError(
        f"{wrapper} takes a throughtime.nn.Cell, or an RNNCell, LSTMCell or GRUCell, got "
        f"{type(cell).__name__}; make a module of your own a Cell by deriving it from throughtime.nn.Cell"
    )


class _TorchCell(Cell):
    """Adapter of a cell of torch.nn, which keeps its parameters."""

    maskable = frozenset({"h", "candidate"})

    def __init__(self, cell: Any) -> None:
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell = cell

    def reset_parameters(self) -> None:
        """Reinitialise the parameters."""
        self.cell.reset_parameters()

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the blocks of W_hh by gate."""
        return blocks_of_cell(self.cell)

    def products(self, h: Tensor, x_t: Tensor, noise: Masks | None) -> tuple[Tensor, Tensor]:
        """Return the products of x_t and of h."""
        cell = self.cell
        from_h = linear(masked(h, noise), cell.weight_hh, cell.bias_hh)
        return linear(x_t, cell.weight_ih, cell.bias_ih), from_h


class _RNN(_TorchCell):
    def forward(self, state: Tensor, x_t: Tensor, noise: Masks | None = None) -> Tensor:
        from_x, from_h = self.products(state, x_t, noise)
        activation = torch.tanh if self.cell.nonlinearity == "tanh" else torch.relu
        return kept(activation(from_x + from_h), noise)


class _LSTM(_TorchCell):
    state_names = ("h", "c")

    def forward(
        self, state: tuple[Tensor, Tensor], x_t: Tensor, noise: Masks | None = None
    ) -> tuple[Tensor, Tensor]:
        h, c = state
        from_x, from_h = self.products(h, x_t, noise)
        i, f, g, o = (from_x + from_h).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * kept(torch.tanh(g), noise)
        return torch.sigmoid(o) * torch.tanh(c), c


class _GRU(_TorchCell):
    def forward(self, state: Tensor, x_t: Tensor, noise: Masks | None = None) -> Tensor:
        from_x, from_h = self.products(state, x_t, noise)
        (r_x, z_x, n_x), (r_h, z_h, n_h) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        z = torch.sigmoid(z_x + z_h)
        n = kept(torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h), noise)
        return (1 - z) * n + z * state


_KINDS: dict[type[nn.Module], type[_TorchCell]] = {nn.RNNCell: _RNN, nn.LSTMCell: _LSTM, nn.GRUCell: _GRU}
