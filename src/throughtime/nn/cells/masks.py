"""`Masks`: what a cell with recurrent dropout multiplies the state and the candidate with."""

from typing import NamedTuple

from torch import Tensor


class Masks(NamedTuple):
    """Masks (n, H) of a step, as `RecurrentDropout` hands them to a cell; None where nothing is dropped.

    Parameters
    ----------
    h : Tensor, optional
        Of h_{t−1} where it enters a product with recurrent weights; not where it is carried on.
    candidate : Tensor, optional
        Of what a step adds to the state.
    """

    h: Tensor | None = None
    candidate: Tensor | None = None


def masked(h: Tensor, masks: Masks | None) -> Tensor:
    """Return h as recurrent weights read it."""
    return h if masks is None or masks.h is None else h * masks.h


def kept(candidate: Tensor, masks: Masks | None) -> Tensor:
    """Return a candidate as a step adds it to the state."""
    return candidate if masks is None or masks.candidate is None else candidate * masks.candidate
