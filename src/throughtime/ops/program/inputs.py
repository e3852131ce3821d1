"""The tensors that a graph's leaves and products read."""

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """The tensors of the leaves of a graph, except states, and the matrices of its products.

    Parameters
    ----------
    tokens : tuple of Tensor
        (T, width) each; row t is read at token t.
    sequences : tuple of Tensor
        (B, width) each.
    vectors : tuple of Tensor
        (width,) each.
    matrices : tuple of Tensor
        (width of the result, width of a) each, for ``product``: a W_kᵀ.
    """

    tokens: tuple[Tensor, ...] = ()
    sequences: tuple[Tensor, ...] = ()
    vectors: tuple[Tensor, ...] = ()
    matrices: tuple[Tensor, ...] = ()
