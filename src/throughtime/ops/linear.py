"""The linear map of tokens, each row's bits its own: y = x Wᵀ + b.

Torch's matrix product may sum a row in another order when other rows come with it, or with another number of
threads. The product that convolution and recurrent layers share sums each result in one order.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.errors import KindError, ShapeError
from throughtime.ops import _conv_eager
from throughtime.ops._batch import one_segment
from throughtime.ops._plain import FULL, on_plain_cpu, watched
from throughtime.ops.windows import Geometry, Windows


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return x Wᵀ + b, in which a row's bits depend on no other row and on no number of threads.

    So in float32 and float64 on a CPU. Half precision, autocast, other devices, function transforms and
    torch.compile run `torch.nn.functional.linear`, which promises no such thing.

    Parameters
    ----------
    x : Tensor
        (\*, D).
    weight : Tensor
        (O, D).
    bias : Tensor, optional
        (O,).

    Returns
    -------
    Tensor
        (\*, O).

    Raises
    ------
    ShapeError, KindError
        If sizes or dtypes do not fit; where torch's product runs, the errors are torch's.

    Examples
    --------
    >>> import torch
    >>> x, weight = torch.randn(100, 30), torch.randn(7, 30)
    >>> torch.equal(linear(x, weight)[3:4], linear(x[3:4], weight))
    True
    """
    if not _is_native(x, weight, bias):
        return F.linear(x, weight, bias)
    _check(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    y = _conv_eager.correlate(rows, weight.unsqueeze(-1), bias, _rows(len(rows)), len(rows))
    return y.view(*x.shape[:-1], weight.shape[0])


def _is_native(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        x.dtype in FULL
        and on_plain_cpu(x)
        and x.dim() > 0
        and 0 not in weight.shape
        and not watched(weight, bias)
        and not torch.is_autocast_enabled("cpu")
    )


def _check(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if weight.dim() != 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"a linear map by a weight of shape {tuple(weight.shape)} takes (*, {weight.shape[-1]}), got "
            f"{tuple(x.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"the bias of a linear map to {weight.shape[0]} features has shape ({weight.shape[0]},), got "
            f"{tuple(bias.shape)}"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and (tensor.dtype != x.dtype or tensor.device != x.device):
            raise KindError(
                f"the input is {x.dtype} on {x.device}, the {name} {tensor.dtype} on {tensor.device}; "
                "convert one of them with .to(...)"
            )


@lru_cache(maxsize=64)
def _rows(count: int) -> Geometry:
    """Return the geometry of a convolution whose windows are single tokens."""
    segment = one_segment(count)
    return Geometry(segment, segment, Windows(1))
