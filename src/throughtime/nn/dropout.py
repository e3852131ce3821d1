"""`Dropout`: torch.nn's dropout, drawn natively from a seed and positions."""

from typing import Any

from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Tokenwise
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import check_real, unwrapped
from throughtime.ops.dropout.layer import dropout
from throughtime.ragged import Ragged


class Dropout(nn.Dropout):
    r"""Set each value to zero with probability p in training, and scale the others by 1 / (1 − p).

    y_i = m_i x_i / (1 − p), with m_i ∈ {0, 1}, 0 with probability p. In evaluation it changes nothing.

    It is `torch.nn.Dropout` with another generator. Each call draws one seed from torch's generator, and m_i
    is a function of that seed and of i alone: Philox4x32-10 [2]_. The same `torch.manual_seed` gives the same
    mask with any number of threads and on any processor. No mask is kept for the backward pass, which draws
    it again. This holds on a CPU; other devices, ``inplace=True`` and p = 1 use torch's dropout.

    Parameters
    ----------
    p : float
        Probability of zeros, from 0 to 1.
    inplace : bool
        Whether to overwrite the input.

    Returns
    -------
    Ragged or Tensor
        (\*, D), of the kind that came in.

    Raises
    ------
    ShapeError, InputTypeError
        If p is outside of its range; if the input is no Tensor or Ragged, or not floating-point.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: a simple way
       to prevent neural networks from overfitting", JMLR 15 (2014), section 4.
    .. [2] J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
       3", SC (2011).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> drop, x = tt.nn.Dropout(0.5), tt.Ragged.from_lengths(torch.ones(50, 4), [30, 20])
    >>> drop(x)
    Ragged(lengths=[30, 20], features=(4,), dtype=float32)
    >>> sorted(set(drop(x).values.flatten().tolist()))
    [0.0, 2.0]
    >>> drop.eval()(x) is x
    True
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:  # noqa: FBT001, FBT002 - torch's signature
        if not 0 <= p <= 1:
            raise ShapeError(f"Dropout: p is a probability, from 0 to 1; got {p}")
        super().__init__(p, inplace)

    def describe(self) -> Tokenwise:
        """Return the description of a layer that processes each step independently."""
        return Tokenwise()

    def operators(self) -> tuple[Operator, ...]:
        """Return none: in evaluation nothing is computed."""
        return ()

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the input with some values zero and the others scaled, of the kind that came in."""
        x = unwrapped(input)
        if not isinstance(x, Ragged | Tensor):
            raise InputTypeError(f"Dropout takes a Tensor or a Ragged, got {type(x).__name__}")
        if not self.training:
            return x
        _check_floating(x)
        if self.inplace:
            return super().forward(x)  # type: ignore[arg-type] # of a Ragged, too
        return x.with_values(dropout(x.values, self.p)) if isinstance(x, Ragged) else dropout(x, self.p)


def _check_floating(x: Ragged | Tensor) -> None:
    check_real(x, "Dropout")
    if not x.dtype.is_floating_point:
        raise InputTypeError(
            f"Dropout takes floating-point numbers, got {x.dtype}; convert them with .float()"
        )
