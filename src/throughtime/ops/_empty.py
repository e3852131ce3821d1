"""Results of batches without tokens: they stay in the graph, so that a training loop need not care."""

from collections.abc import Sequence

from torch import Tensor


def zeros_of(shape: Sequence[int], *arguments: Tensor | None) -> Tensor:
    """Return zeros of a shape whose gradient with respect to each argument is zero, not missing."""
    tensors = [argument for argument in arguments if argument is not None]
    # An empty slice of each: a NaN or Inf in a weight must not come through.
    nothing = sum((tensor.flatten()[:0].sum() for tensor in tensors[1:]), tensors[0].flatten()[:0].sum())
    return nothing.expand(*shape)
