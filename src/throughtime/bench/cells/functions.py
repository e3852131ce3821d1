"""LSTM, GRU and LSTM with LayerNorm, as one writes them for `throughtime.nn.Recurrence`.

Parameters have torch's names, order and layout, so that results and gradients can be compared.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.bench.recurrent.case import GATES, Cell, Shape

State = tuple[Tensor, Tensor]


class _Cell(nn.Module):
    """The four parameters of a cell."""

    def __init__(self, cell: Cell, shape: Shape) -> None:
        super().__init__()
        rows = GATES[cell] * shape.hidden
        self.weight_ih = nn.Parameter(torch.empty(rows, shape.inputs))
        self.weight_hh = nn.Parameter(torch.empty(rows, shape.hidden))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))

    def of_input(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def of_state(self, h: Tensor) -> Tensor:
        return F.linear(h, self.weight_hh, self.bias_hh)


class LSTMFunction(_Cell):
    """The equations of `torch.nn.LSTMCell`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__("LSTM", shape)

    def forward(self, state: State, x: Tensor) -> State:
        """Return the next (h, c)."""
        h, c = state
        i, f, g, o = (self.of_input(x) + self.of_state(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class GRUFunction(_Cell):
    """The equations of `torch.nn.GRUCell`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__("GRU", shape)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the next h."""
        x_r, x_z, x_n = self.of_input(x).chunk(3, 1)
        h_r, h_z, h_n = self.of_state(h).chunk(3, 1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return (1 - z) * n + z * h


class LayerNormLSTMFunction(nn.Module):
    """An LSTM with LayerNorm of both products and of c (Ba, Kiros and Hinton 2016, equations 20 to 22)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        rows = 4 * shape.hidden
        self.of_input = nn.Linear(shape.inputs, rows, bias=False)
        self.of_state = nn.Linear(shape.hidden, rows, bias=False)
        self.norm_input, self.norm_state = nn.LayerNorm(rows), nn.LayerNorm(rows)
        self.norm_c = nn.LayerNorm(shape.hidden)

    def forward(self, state: State, x: Tensor) -> State:
        """Return the next (h, c)."""
        h, c = state
        gates = self.norm_input(self.of_input(x)) + self.norm_state(self.of_state(h))
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(c)), c
