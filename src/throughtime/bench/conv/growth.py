"""Times of recurrent layers and of convolutions as sequences get longer, from the part ``length``."""

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
    "that only the sequences of a batch can be computed side by side. The gates of a MinGRU do not see the "
    "state; it needs a third of the multiplications, and computes its steps in parallel. Both axes are "
    "logarithmic; bands are the range over several processes."
)
GROWING_PEERS = ("GRU", "MinGRU")
"""The recurrent layers that are set beside the convolutions."""


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
    """Return a panel for each number of sequences and mode, with a curve for each layer."""
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
    by_peer = {peer: [one for one in rows if one[1].peer == peer] for peer in GROWING_PEERS}
    measured = {peer: own for peer, own in by_peer.items() if own}
    longest = {peer: own[-1] for peer, own in measured.items()}
    takes = ", ".join(f"the {peer} takes {row.ratio:.2f}" for peer, (_, row) in longest.items())
    steps, first = max(steps for steps, _ in longest.values()), next(iter(measured.values()))
    return TimePanel(
        f"{counted(batch, 'sequence')}, {mode}",
        f"At {steps:,} steps {takes} times as long as the convolutions.",
        [
            _curve("two convolutions", [length for length, _ in first], [row.ours_s for _, row in first]),
            *(
                _curve(peer, [length for length, _ in own], [row.peer_s for _, row in own])
                for peer, own in measured.items()
            ),
        ],
    )


def _curve(name: str, lengths: Sequence[int], seconds: Sequence[Sequence[float]]) -> TimeCurve:
    def over(function: Callable[[Sequence[float]], float]) -> list[float]:
        return [function(values) for values in seconds]

    return TimeCurve(name, lengths, over(statistics.median), over(min), over(max))
