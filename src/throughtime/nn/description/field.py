"""`ReceptiveField`: which steps of the input an output step can depend on."""

import math
from fractions import Fraction
from typing import NamedTuple

Steps = int | float | Fraction


class ReceptiveField(NamedTuple):
    """Output step t depends on the input steps t · stride + first to t · stride + last, and on no others.

    With gaps, as dilation may leave them, not on all of these. ``-inf`` and ``inf`` stand for the beginning
    and the end of the sequence. Behind a transposed convolution ``stride`` is a fraction, and so may the
    bounds be: the steps are the whole numbers between them.
    """

    first: Steps
    last: Steps
    stride: int | Fraction

    @property
    def size(self) -> Steps:
        """Steps from the first to the last."""
        return self.last - self.first + 1

    @property
    def offset(self) -> Steps:
        """The input step at which the window of output step 0 begins; below 0 it begins in the border."""
        return self.first

    @property
    def lookahead(self) -> Steps:
        """Steps after t · stride on which output step t depends; 0 for a causal model."""
        return max(0, self.last)

    def then(self, after: "ReceptiveField") -> "ReceptiveField":
        """Return the field of a layer with the field ``after`` on top of what has this one."""
        return ReceptiveField(
            _plain(self.first + after.first * self.stride),
            _plain(self.last + after.last * self.stride),
            _whole(self.stride * after.stride),
        )


ONE_STEP = ReceptiveField(0, 0, 1)
ALL_STEPS = ReceptiveField(-math.inf, math.inf, 1)


def _plain(number: Steps) -> Steps:
    return _whole(number) if isinstance(number, Fraction) else number


def _whole(number: int | Fraction) -> int | Fraction:
    """Return a fraction without a rest as an int."""
    return int(number) if number == int(number) else number
