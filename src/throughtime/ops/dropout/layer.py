"""Dropout whose mask depends on a seed and on positions, not on threads or instruction sets.

Eager calls on plain float32 and float64 tensors on the CPU are native. torch.compile, export, tensor
subclasses and dispatch modes meet an operator that torch knows. Function transforms run the reference, and
other devices torch's own dropout.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.ops.dropout import autograd, registered
from throughtime.ops.dropout.reference import dropout_reference
from throughtime.ops.plain import FULL, HALF, as_operator
from throughtime.ragged import Ragged, implements


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:  # noqa: FBT001, FBT002 - torch's signature
    r"""Return each value of x times 1 / (1 − p), or 0 with probability p, independently.

    Each call draws one seed from torch's generator on the CPU, as `torch.manual_seed` sets it. The mask is a
    function of that seed and of the position of a value in row-major order, by Philox4x32-10 [1]_. A backward
    pass draws the mask again; no mask is kept.

    Parameters
    ----------
    x : Tensor
        (\*), floating-point. On other devices than the CPU it is `torch.nn.functional.dropout`.
    p
        Probability of zeros, from 0 to 1.
    training
        Whether values are dropped; without it x is returned.

    Returns
    -------
    Tensor
        (\*), of the dtype of x; half precision is computed in float32.

    References
    ----------
    .. [1] J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as 1, 2,
       3", SC (2011).

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> sorted(set(dropout(torch.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    """
    if not training or not 0 < p < 1 or not _is_ours(x):
        return F.dropout(x, p, training)
    return seeded_dropout(x, torch.randint(2**63 - 1, (), device="cpu"), p)


def seeded_dropout(x: Tensor, seed: Tensor, p: float) -> Tensor:
    r"""Return what `dropout` returns in training if it draws this seed.

    Parameters
    ----------
    x : Tensor
        (\*), floating-point.
    seed : Tensor
        int64, one number in host memory.
    p
        Probability of zeros, above 0 and below 1.
    """
    if not _is_ours(x):
        return dropout_reference(x, seed, p)
    if x.dtype in HALF:
        return seeded_dropout(x.float(), seed, p).to(x.dtype)
    if autograd.takes(x):
        return autograd.masked(x, int(seed), p)
    if as_operator(x):
        return registered.masked(x, seed, p)
    return dropout_reference(x, seed, p)


def _is_ours(x: Tensor) -> bool:
    return (x.is_cpu or x.is_meta) and x.dtype in (*FULL, *HALF)


@implements(F.dropout)
def _dropout_of_ragged(
    x: Ragged,
    p: float = 0.5,
    training: bool = True,  # noqa: FBT001, FBT002 - torch's signature
    inplace: bool = False,  # noqa: FBT001, FBT002
) -> Ragged:
    if inplace:
        return x.with_values(F.dropout(x.values, p, training, inplace=True))
    return x.with_values(dropout(x.values, p, training))
