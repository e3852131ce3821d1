"""One thing to measure: a cell, a shape, lengths, and the same numbers for everyone."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.bench._lengths import Lengths, Mode, lengths_of

Cell = Literal["LSTM", "GRU", "RNN"]

GATES: dict[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Shape(NamedTuple):
    """B sequences of at most T tokens, I inputs, H hidden units."""

    batch: int
    steps: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return f"B{self.batch} T{self.steps} I{self.inputs} H{self.hidden}"


SHAPES = (
    Shape(1, 128, 64, 64),
    Shape(1, 256, 256, 256),
    Shape(8, 128, 128, 128),
    Shape(32, 100, 64, 64),
    Shape(32, 128, 256, 256),
    Shape(32, 128, 512, 512),
    Shape(128, 128, 128, 128),
    Shape(256, 50, 64, 64),
    Shape(64, 64, 1024, 1024),
)
"""Small to large, one sequence to many."""


@dataclass(frozen=True)
class Case:
    """Weights as torch lays them out, tokens of all sequences end to end, and a gradient for the output."""

    cell: Cell
    shape: Shape
    kind: Lengths
    layer: nn.RNNBase
    lengths: Tensor
    values: Tensor
    gradient: Tensor

    @property
    def weights(self) -> dict[str, Tensor]:
        """The four parameters by torch's names, without their layer number."""
        return {name[:-3]: value.detach() for name, value in self.layer.named_parameters()}

    def operations(self, mode: Mode) -> float:
        """Return the multiplications and additions of the products over real tokens."""
        rows = GATES[self.cell] * self.shape.hidden
        forward = 2.0 * len(self.values) * (self.shape.inputs + self.shape.hidden) * rows
        return 3 * forward if mode == "training" else forward


def make_case(cell: Cell, shape: Shape, kind: Lengths) -> Case:
    """Return the case with the same numbers at every call.

    Ragged lengths are spread evenly from T/4 to T, in shuffled order.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = lengths_of(kind, shape.batch, shape.steps, generator)
    layer: nn.RNNBase = getattr(nn, cell)(shape.inputs, shape.hidden)
    with torch.no_grad():
        for parameter in layer.parameters():
            bound = shape.hidden**-0.5
            parameter.copy_(torch.empty_like(parameter).uniform_(-bound, bound, generator=generator))
    total = int(lengths.sum())
    values = torch.randn(total, shape.inputs, generator=generator)
    gradient = torch.randn(total, shape.hidden, generator=generator)
    return Case(cell, shape, kind, layer, lengths, values, gradient)
