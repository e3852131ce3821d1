"""`Masks`: dropout masks of the state and of the candidate of a cell."""

from typing import NamedTuple

from torch import Tensor


class Masks(NamedTuple):
    """Masks (n, H) of one step, as `RecurrentDropout` passes them to a cell; None where nothing is dropped.

    Parameters
    ----------
    h : Tensor, optional
        Of h_{t−1} in products with recurrent weights, not where it is copied to h_t.
    candidate : Tensor, optional
        Of the candidate that a step adds to the state.
    """

    h: Tensor | None = None
    candidate: Tensor | None = None


def masked(h: Tensor, masks: Masks | None) -> Tensor:
    """Return h with its mask applied."""
    return h if masks is None or masks.h is None else h * masks.h


def kept(candidate: Tensor, masks: Masks | None) -> Tensor:
    """Return a candidate with its mask applied."""
    return candidate if masks is None or masks.candidate is None else candidate * masks.candidate
