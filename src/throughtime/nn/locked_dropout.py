"""`LockedDropout`: one mask for all steps of a sequence."""

from typing import Any

from torch import nn

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import as_ragged, check_real
from throughtime.ops.dropout.layer import dropout
from throughtime.ragged import Ragged


class LockedDropout(nn.Module):
    r"""Dropout whose mask is the same at every step of a sequence: variational dropout.

    y_t = m ⊙ x_t / (1 − p), with one m ∈ {0, 1}^D for each sequence of the batch, each entry of it 0 with
    probability p. In evaluation it changes nothing. Ordinary dropout draws another mask at every step, so
    that over many steps a recurrent layer sees every feature now and then.

    Parameters
    ----------
    p : float
        From 0 to below 1.

    Returns
    -------
    Ragged
        (T, D), as the input.

    Raises
    ------
    ShapeError, InputTypeError
        If p is outside of its range; if the input is no `Ragged`.

    References
    ----------
    .. [1] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural
       networks", NeurIPS (2016), section 4, between layers (not within the recurrence).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> drop, x = tt.nn.LockedDropout(0.5), tt.Ragged.from_lengths(torch.ones(5, 4), [3, 2])
    >>> y = drop(x)
    >>> torch.equal(y[0][0], y[0][2]), sorted(set(y.values.flatten().tolist())) in ([0.0], [2.0], [0.0, 2.0])
    (True, True)
    >>> drop.eval()(x) is x
    True
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ShapeError(f"LockedDropout: p is a probability, from 0 to below 1; got {p}")
        self.p = p

    def describe(self) -> Tokenwise:
        """Return the description of a layer that processes each step independently."""
        return Tokenwise()

    def operators(self) -> tuple[Operator, ...]:
        """Return none: in evaluation nothing is computed."""
        return ()

    def forward(self, input: Any) -> Ragged:  # noqa: A002 - torch's name
        """Return the batch with features left out, the same ones at every step of a sequence."""
        x: Ragged = as_ragged(input, "LockedDropout")
        if not self.training or self.p == 0:
            return x
        check_real(x, "LockedDropout")
        mask = dropout(x.values.new_ones(x.layout.num_sequences, *x.shape[1:]), self.p)
        masked: Ragged = x * x.spread(mask)
        return masked

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"
