"""The embedding of a ragged batch: `torch.nn.functional.embedding`, and with it `torch.nn.Embedding`.

Where a gradient of the table is required, eager calls on plain float32 and float64 tensors on the CPU are
native: the gradient, most rows of which are zeros, takes half of torch's time. Everything else is torch's.
"""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from throughtime.ops.embedding import autograd
from throughtime.ragged import Ragged, implements


@implements(F.embedding)
def _embedding_of_ragged(
    x: Ragged,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,  # noqa: FBT001, FBT002 - torch's signature
    sparse: bool = False,  # noqa: FBT001, FBT002
) -> Ragged:
    has_options = max_norm is not None or scale_grad_by_freq or sparse
    y = None if has_options else _rows(x.values, weight, padding_idx)
    if y is None:
        y = F.embedding(x.values, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    return x.with_values(y)


def _rows(tokens: Tensor, weight: Any, padding_idx: int | None) -> Tensor | None:
    """Return the row of each token, or None where torch's code is to run."""
    if not isinstance(weight, Tensor) or not autograd.takes(tokens, weight):
        return None
    padding = _padding(padding_idx, len(weight))
    return None if padding is None else autograd.rows_of(tokens, weight, padding)


def _padding(index: int | None, rows: int) -> int | None:
    """Return the token without a gradient, negative for none; None for an index that torch refuses."""
    if index is None:
        return -1
    return index % rows if -rows <= index < rows else None
