"""What to measure: parts, shapes, lengths, modes, and how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from throughtime.bench._lengths import Lengths, Mode

PARTS = ("conv", "pool", "norm", "model", "length")
"""Names of the parts, as options take them."""


class Shape(NamedTuple):
    """B sequences of at most T tokens, C channels to O, K taps."""

    batch: int
    steps: int
    channels: int
    outputs: int
    width: int
    dilation: int

    def __str__(self) -> str:
        text = f"B{self.batch} T{self.steps} C{self.channels} O{self.outputs} K{self.width}"
        return text if self.dilation == 1 else f"{text} D{self.dilation}"


SHAPES = (
    Shape(64, 64, 128, 100, 3, 1),
    Shape(64, 64, 128, 100, 5, 1),
    Shape(64, 256, 64, 64, 9, 1),
    Shape(32, 512, 128, 128, 3, 1),
    Shape(32, 512, 128, 128, 3, 16),
    Shape(32, 512, 128, 128, 39, 1),
    Shape(16, 1024, 32, 32, 7, 8),
    Shape(1, 4096, 128, 128, 3, 4),
    Shape(128, 128, 300, 100, 3, 1),
)
"""Kernels for sentences, for series, dilated ones, one long sequence."""


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long: in each process each call gets ``seconds`` in each of the ``rounds``."""

    parts: Sequence[str] = PARTS
    shapes: Sequence[Shape] = SHAPES
    kinds: Sequence[Lengths] = ("equal", "ragged")
    modes: Sequence[Mode] = ("inference", "training")
    threads: int = 2
    rounds: int = 5
    seconds: float = 0.06
