"""The native features of MiniRocket: tensors in, tensors out, float32 on the CPU."""

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.rocket.kernels import Kernels


def takes(values: Tensor, kernels: Kernels) -> bool:
    """Tell whether native code reads series and biases of these dtypes."""
    return values.dtype == kernels.biases.dtype == torch.float32


def features(values: Tensor, offsets: Tensor, kernels: Kernels, *, all_statistics: bool) -> Tensor:
    """Return what `rocket_reference` returns."""
    y: Tensor = called(_native.rocket, (values, offsets, *kernels), all_statistics=all_statistics)
    return y
