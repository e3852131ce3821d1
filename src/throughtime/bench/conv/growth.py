"""Times of a GRU and of convolutions as sequences get longer, from the rows of the part ``length``."""

import re
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from throughtime._words import counted
from throughtime.bench.conv.record import Row
from throughtime.report import TimeCurve, TimePanel

TITLE = "Cost of recurrence and convolution as sequences get longer"
ABOUT = (
    "A GRU of 128 units beside two causal convolutions of 128 channels and width 3, which need as many "
    "multiplications for each step. A convolution computes all steps at once, a GRU one after another, so "
    "that only the sequences of a batch can be computed side by side. Both axes are logarithmic; bands are "
    "the range over several processes."
)


class Growing(NamedTuple):
    """Shape of one measurement: sequences, steps of each, and channels."""

    batch: int
    steps: int
    channels: int

    def __str__(self) -> str:
        return f"B{self.batch} T{self.steps} C{self.channels}"

    @classmethod
    def parse(cls, text: str) -> "Growing":
        """Return the shape with this name.

        Examples
        --------
        >>> Growing.parse(str(Growing(32, 256, 128)))
        Growing(batch=32, steps=256, channels=128)
        """
        batch, steps, channels = map(int, re.findall(r"\d+", text))
        return cls(batch, steps, channels)


def growth_panels(rows: Sequence[Row]) -> list[TimePanel]:
    """Return a panel for each number of sequences and mode, with a curve for each of the two."""
    shapes = {row.what: Growing.parse(row.what) for row in rows}
    keys = dict.fromkeys((shapes[row.what].batch, row.mode) for row in rows)
    return [
        _panel(
            batch,
            mode,
            sorted(
                (
                    (shapes[row.what].steps, row)
                    for row in rows
                    if (shapes[row.what].batch, row.mode) == (batch, mode)
                ),
                key=lambda pair: pair[0],
            ),
        )
        for batch, mode in keys
    ]


def _panel(batch: int, mode: str, rows: Sequence[tuple[int, Row]]) -> TimePanel:
    lengths = [steps for steps, _ in rows]
    longest, row = rows[-1]
    return TimePanel(
        f"{counted(batch, 'sequence')}, {mode}",
        f"At {longest:,} steps the GRU takes {row.ratio:.2f} times as long as the convolutions.",
        [
            _curve("two convolutions", lengths, [row.ours_s for _, row in rows]),
            _curve("GRU", lengths, [row.peer_s for _, row in rows]),
        ],
    )


def _curve(name: str, lengths: Sequence[int], seconds: Sequence[Sequence[float]]) -> TimeCurve:
    def over(function: Callable[[Sequence[float]], float]) -> list[float]:
        return [function(values) for values in seconds]

    return TimeCurve(name, lengths, over(statistics.median), over(min), over(max))
