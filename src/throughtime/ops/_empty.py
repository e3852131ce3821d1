"""Results of batches without tokens: they stay in the graph, so that a training loop need not care."""

from collections.abc import Sequence

import torch
from torch import Tensor


def zeros_of(shape: Sequence[int], *arguments: Tensor | None) -> Tensor:
    """Return zeros of a shape whose gradient with respect to each argument is zero, not missing."""
    tensors = [argument for argument in arguments if argument is not None]
    first, *others = map(_nothing_of, tensors)
    return sum(others, first).expand(*shape)


def _nothing_of(tensor: Tensor) -> Tensor:
    """Return a zero of the same dtype: the sum of an empty slice, so that no NaN or Inf comes through.

    Under autocast on CUDA a sum is float32 unless a dtype is given.
    """
    return tensor.flatten()[:0].sum(dtype=tensor.dtype)


def known_empty(values: Tensor) -> bool:
    """Return whether there are no rows; False under torch.compile if their number is symbolic."""
    return not torch.compiler.is_compiling() and values.shape[0] == 0


def with_a_row(values: Tensor) -> Tensor:
    """Return values with at least one row if their number is symbolic, so that indexing is valid."""
    if not torch.compiler.is_compiling():
        return values
    return torch.cat((values, values.new_zeros(1, *values.shape[1:])))
