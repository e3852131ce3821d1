"""The native forward and Viterbi algorithms of linear-chain CRFs, for plain float32 and float64 CPU tensors.

Neither is differentiated here. See `native/kernels/crf/crf.h` for the equations.
"""

from typing import cast

from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.plain import FULL, differentiable, on_plain_cpu
from throughtime.ragged import Layout


def is_native(*tensors: Tensor) -> bool:
    """Tell whether native code runs on tensors: nobody differentiates them or has a part in the call."""
    return not differentiable(*tensors) and all(x.dtype in FULL and on_plain_cpu(x) for x in tensors)


def native_forward(x: Tensor, layout: Layout, transitions: Tensor, start: Tensor, *, reverse: bool) -> Tensor:
    """Return (T, C) scores of emissions (T, C); with ``reverse`` steps run from the last token to the first.

    r_0 = x_0 + start,  r_t[j] = x_t[j] + log Σ_i exp(a_i + transitions[i, j]),  a = r_{t−1} − max r_{t−1}
    """
    tensors = (x.detach(), layout.offsets, transitions.detach(), start.detach())
    return cast("Tensor", called(_native.crf_forward, tensors, reverse=reverse))


def native_best(x: Tensor, layout: Layout, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return (T,) int64, the tags of the highest score; of equal scores the lowest, from the last step on."""
    tensors = (x.detach(), layout.offsets, transitions.detach(), start.detach(), end.detach())
    return cast("Tensor", called(_native.crf_best, tensors))
