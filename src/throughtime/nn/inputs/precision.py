"""In which dtype a recurrent layer computes, and in which it returns its results.

Half precision is for tensors that travel: states, gates and sums are float32. In bfloat16, the factors of the
matrix products are bfloat16, too. Under autocast, torch.nn returns the autocast dtype where its layer is one
of the casted operations, and elsewhere whatever type promotion makes of it; the functions here follow what
torch does on CPU.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ops.plain import HALF
from throughtime.ops.recurrent.spec import CellSpec


class Precision(NamedTuple):
    """Dtypes of the computation, of h (output and state), and of c, and whether products are of bfloat16."""

    compute: torch.dtype
    h: torch.dtype
    c: torch.dtype
    bfloat16: bool


def precision(
    spec: CellSpec, x: Tensor, h0: Tensor | None, c0: Tensor | None, *, fused: bool, projected: bool
) -> Precision:
    """Return the dtypes for a layer.

    Parameters
    ----------
    spec
        The cell.
    x, h0, c0
        What meets; a state of None has the dtype of ``x``.
    fused
        Whether torch runs an LSTM on such an input as one operation (dense tensors).
    projected
        Whether h is the product of a projection.
    """
    if not under_autocast(x.device) or x.dtype == torch.float64:
        compute = torch.float32 if x.dtype in HALF else x.dtype
        return Precision(compute, x.dtype, x.dtype, x.dtype == torch.bfloat16)
    low = torch.get_autocast_dtype(x.device.type)
    h = torch.promote_types(low, x.dtype if h0 is None else h0.dtype)
    c = torch.promote_types(low, x.dtype if c0 is None else c0.dtype)
    if projected:
        h = low
    elif spec.returns_autocast_dtype(fused=fused):
        h = c = low
    return Precision(torch.float32, h, c, low == torch.bfloat16)


def under_autocast(device: torch.device) -> bool:
    """Return whether autocast is enabled for a device (torch raises an error for "meta")."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)
