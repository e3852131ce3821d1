"""One comparison: median seconds of both sides."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """What was measured.

    Parameters
    ----------
    part
        Name of the comparison, one of `PARTS`.
    what, lengths, mode
        Cell and shape, equal or ragged lengths, inference or training.
    first, second
        What was measured.
    first_s, second_s
        Median seconds.
    ratio_of
        Whether ``ratio`` is the time of the first divided by that of the second (lower is better), or the
        reverse, its speed (higher is better).
    """

    part: str
    what: str
    lengths: str
    mode: str
    first: str
    second: str
    first_s: float
    second_s: float
    ratio_of: Literal["time", "speed"]

    @property
    def ratio(self) -> float:
        """Return the ratio of the times."""
        return self.first_s / self.second_s if self.ratio_of == "time" else self.second_s / self.first_s
