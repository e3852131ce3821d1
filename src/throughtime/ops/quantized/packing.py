"""Weights as int8 with one scale for each row, in the layout that the kernels read.

A packed weight has the shape (panels, groups, width, 4): a panel is ``width`` rows of the matrix, a multiple
of 16, and a group four of their entries. It is the same on all processors; rows and entries that do not exist
are zeros. See native/kernels/quantized/quantized.h.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

COLUMNS, FACTORS, MOST_VECTORS = 16, 4, 4
LARGEST = 127
"""Integers are from -127 to 127."""
LEAST_SCALED = 1e-30
"""Rows whose largest magnitude is below this are zeros."""
MOST_FACTORS = 65536
"""Products in one sum, so that it fits into 32 bits."""


class Rounded(NamedTuple):
    """Integers of a matrix and the scale of each row: ``matrix ≈ scale[:, None] * values``."""

    values: Tensor
    scale: Tensor


def rounded(matrix: Tensor) -> Rounded:
    """Return the rows (…, D) as int8, −127 to 127, and the scale (…) of each: largest magnitude / 127.

    Examples
    --------
    >>> import torch
    >>> rounded(torch.tensor([[0.5, -1.27], [0.0, 0.0]]))
    Rounded(values=tensor([[  50, -127],
            [   0,    0]], dtype=torch.int8), scale=tensor([0.0100, 0.0000]))
    """
    most = matrix.abs().amax(-1)
    zero = most < LEAST_SCALED
    factor = torch.where(zero, 0, LARGEST / most)
    values = torch.round(matrix * factor.unsqueeze(-1)).to(torch.int8)
    return Rounded(values, torch.where(zero, 0, most / LARGEST))


def vectors_of(columns: int) -> int:
    """Return the number of vectors of 16 rows in a panel: the fewest panels, then the least padding."""
    vectors = math.ceil(columns / COLUMNS)
    return math.ceil(vectors / math.ceil(vectors / MOST_VECTORS))


def in_panels(rows: Tensor, vectors: int) -> Tensor:
    """Return rows (blocks, H, …) as panels (panels, blocks · 16 · vectors, …), padded with zeros."""
    blocks, height = rows.shape[:2]
    width = COLUMNS * vectors
    panels = math.ceil(height / width)
    padding = (0, 0) * (rows.dim() - 2) + (0, panels * width - height)
    padded = pad(rows, padding).view(blocks, panels, width, *rows.shape[2:])
    return padded.transpose(0, 1).flatten(1, 2)


def from_panels(panels: Tensor, blocks: int, height: int) -> Tensor:
    """Return the rows (blocks, H, …) of panels."""
    count, width = panels.shape[0], panels.shape[1] // blocks
    rows = panels.view(count, blocks, width, *panels.shape[2:]).transpose(0, 1).flatten(1, 2)
    return rows[:, :height]


def packed(rows: Tensor, vectors: int) -> Tensor:
    """Return rows of integers (blocks, H, taps, D) in the layout of the kernels."""
    panels = in_panels(pad(rows, (0, -rows.shape[-1] % FACTORS)), vectors)
    count, width = panels.shape[:2]
    return panels.reshape(count, width, -1, FACTORS).transpose(1, 2).contiguous()


def unpacked(weight: Tensor, blocks: int, height: int, taps: int, features: int) -> Tensor:
    """Return the rows (blocks, H, taps, D) of a packed weight."""
    count, _, width, _ = weight.shape
    panels = weight.transpose(1, 2).reshape(count, width, taps, -1)
    return from_panels(panels, blocks, height)[..., :features]
