"""The native embedding under eager autograd."""

from typing import Any

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.plain import differentiable, on_plain_cpu, unobserved


def takes(tokens: Tensor, table: Tensor) -> bool:
    """Tell whether a gradient of the table is required, and nobody else has a part in the call.

    Without a gradient, torch's code is as fast.
    """
    return differentiable(table) and unobserved() and on_plain_cpu(table) and on_plain_cpu(tokens)


def rows_of(tokens: Tensor, table: Tensor, padding: int) -> Tensor:
    """Return the row of each token; rows of ``padding`` have no gradient, a negative one is none."""
    y: Tensor = _Embedding.apply(table, tokens, padding)  # type: ignore[no-untyped-call]
    return y


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor, padding: int) -> Tensor:
        ctx.rows, ctx.padding = table.shape[0], padding
        ctx.save_for_backward(tokens)
        y = _native.embedding_forward(table, tokens, threads=torch.get_num_threads())
        ctx.is_native = y is not None
        # Other dtypes and shapes are torch's, as is the error of a token that is no row.
        return torch.embedding(table, tokens) if y is None else y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,), (tokens,) = gradients, ctx.saved_tensors
        # With gradients enabled somebody will differentiate the result, too.
        if torch.is_grad_enabled() or not ctx.is_native or not on_plain_cpu(dy):
            dtable = torch.ops.aten.embedding_dense_backward(dy, tokens, ctx.rows, ctx.padding, False)  # noqa: FBT003
        else:
            dtable = called(_native.embedding_gradient, (dy, tokens), rows=ctx.rows, padding=ctx.padding)
        return dtable, None, None
