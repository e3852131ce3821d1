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
def _embedding_of_ragged(x: Ragged, weight: Any, padding_idx: int | None = None, **options: Any) -> Ragged:
    return x.with_values(_embedding(x.values, weight, padding_idx, **options))


def _embedding(
    tokens: Tensor, weight: Any, padding_idx: int | None, *, max_norm: float | None = None, **options: Any
) -> Tensor:
    is_plain = max_norm is None and not (options.get("scale_grad_by_freq") or options.get("sparse"))
    if is_plain and isinstance(weight, Tensor) and autograd.takes(tokens, weight):
        padding = _padding(padding_idx, len(weight))
        if padding is not None:
            return autograd.rows_of(tokens, weight, padding)
    return F.embedding(tokens, weight, padding_idx, max_norm, **options)


def _padding(index: int | None, rows: int) -> int | None:
    """Return the token without a gradient, negative for none; None for an index that torch refuses."""
    if index is None:
        return -1
    return index % rows if -rows <= index < rows else None
