"""`cross_entropy`: over many classes on a CPU, a few rows at a time so that they stay in its cache."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Numbers of a piece: 2 MB in float32.
_PIECE = 1 << 19


def cross_entropy(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return −log softmax(logits)_k of each row's class k, and whether it was the largest.

    Torch's own writes log-probabilities, their gradient and that of the logits for all rows, one after the
    other. Here only the gradient of the logits is written, and half precision is summed in float32 without a
    copy of everything.

    Parameters
    ----------
    logits : Tensor
        (T, V).
    classes : Tensor
        (T,) int64, below V.

    Returns
    -------
    losses : Tensor
        (T,), float32 for half precision.
    right : Tensor
        (T,) bool.

    Examples
    --------
    >>> import torch
    >>> logits, classes = torch.randn(5, 9), torch.tensor([1, 0, 8, 3, 3])
    >>> losses, right = cross_entropy(logits, classes)
    >>> torch.allclose(losses, torch.nn.functional.cross_entropy(logits, classes, reduction="none"))
    True
    """
    if logits.is_cpu:
        result: tuple[Tensor, Tensor] = _CrossEntropy.apply(logits, classes)  # type: ignore[no-untyped-call]
        return result
    scores = logits.detach()
    right = scores.gather(-1, classes[:, None])[:, 0] == scores.amax(-1)
    return F.cross_entropy(_wide(logits), classes, reduction="none"), right


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        sums, losses, right = [], [], []
        for part, targets in _pieces(logits, classes):
            wide = _wide(part)
            highest = wide.amax(-1, keepdim=True)
            # Not `torch.logsumexp`, which takes four times as long here.
            total = highest[:, 0] + (wide - highest).exp_().sum(-1).log_()
            picked = wide.gather(-1, targets[:, None])
            sums.append(total)
            losses.append(total - picked[:, 0])
            right.append((picked == highest)[:, 0])
        ctx.save_for_backward(logits, classes, torch.cat(sums))
        correct = torch.cat(right)
        ctx.mark_non_differentiable(correct)
        return torch.cat(losses), correct

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, None]:
        logits, classes, sums = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            wide = _wide(logits)
            taken = F.one_hot(classes, wide.shape[-1]).to(wide.dtype)
            return ((wide.softmax(-1) - taken) * grad[:, None]).to(logits.dtype), None
        gradient = torch.empty_like(logits)
        pieces = _pieces(logits, classes), _pieces(gradient, sums), _pieces(gradient, grad)
        for (part, targets), (out, total), (_, weight) in zip(*pieces, strict=True):
            wide = torch.sub(part, total[:, None]).exp_()
            wide.scatter_add_(-1, targets[:, None], wide.new_full((len(targets), 1), -1))
            torch.mul(wide, weight[:, None], out=wide)
            out.copy_(wide)
        return gradient, None


def _pieces(rows: Tensor, along: Tensor) -> list[tuple[Tensor, Tensor]]:
    size = max(1, _PIECE // max(1, rows.shape[-1]))
    return list(zip(rows.split(size), along.split(size), strict=True))


def _wide(x: Tensor) -> Tensor:
    """Return half precision as float32: sums over many classes need its digits."""
    return x.float() if x.dtype in {torch.bfloat16, torch.float16} else x
