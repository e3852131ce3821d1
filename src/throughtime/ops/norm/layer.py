"""Normalization by mean and variance: of every sequence by its own, of a batch by those of all its tokens.

Eager calls on plain float32 and float64 tensors on the CPU are native. torch.compile, export, tensor
subclasses and dispatch modes meet an operator that torch knows. Other devices and function transforms run the
reference.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.ops.norm import autograd, registered
from throughtime.ops.norm.native import Fixed, Norm, Running
from throughtime.ops.norm.reference import (
    batch_norm_reference,
    batch_norm_traced,
    normalize_sequences_reference,
)
from throughtime.ops.plain import HALF, as_operator
from throughtime.ragged import Layout, Ragged, implements


def normalize_sequences(
    values: Tensor,
    layout: Layout,
    groups: int,
    eps: float,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Return γ (x − μ) / √(σ² + eps) + β, μ and σ² of each sequence and group of features over all its steps.

    Parameters
    ----------
    values : Tensor
        (T, C).
    layout
        Their offsets.
    groups
        Blocks of C / groups features that share a mean and a variance (the biased one).
    eps
        What is added to the variance: a sequence of one step and one feature per group gives β.
    weight, bias : Tensor, optional
        γ and β, (C,); ones and zeros where they are missing.

    Returns
    -------
    Tensor
        (T, C) of the dtype of ``values``; half precision is computed in float32.
    """
    if values.dtype in HALF:  # sums over a sequence would lose their digits
        wide = (None if part is None else part.float() for part in (weight, bias))
        return normalize_sequences(values.float(), layout, groups, eps, *wide).to(values.dtype)

    norm = Norm(layout.offsets, groups, eps)
    quick = autograd.quickly(values, weight, bias, norm)
    if quick is not None:
        return quick

    def composition(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return normalize_sequences_reference(values, layout, groups, eps, weight, bias)

    if autograd.takes(values, weight, bias):
        return autograd.normalize(values, weight, bias, norm, composition)
    if as_operator(values, weight, bias) and registered.takes(values, weight, bias):
        return registered.normalize_sequences(values, layout, groups, eps, weight, bias)
    return composition(values, weight, bias)


def batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,  # noqa: FBT001, FBT002 - torch's signature
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    relu: bool = False,
) -> Tensor:
    r"""Return `torch.nn.functional.batch_norm` of tokens (T, \*D), after which negative values may be zeroed.

    Without tokens there are no statistics: in training nothing is updated, where torch would refuse. A graph
    of torch.compile refuses fewer than two tokens in training.
    """
    if torch.compiler.is_compiling():
        y = batch_norm_traced(values, running_mean, running_var, weight, bias, training, momentum, eps)
        return y.relu() if relu else y
    if training and values.shape[0] == 0:
        for part, combined in ((weight, torch.mul), (bias, torch.add)):
            # Nothing of nothing, but then their gradients are zero and not missing.
            if part is not None:
                values = combined(values, part.to(values.dtype).view(-1, *(1,) * (values.dim() - 2)))
        return values
    known = None if running_mean is None or running_var is None else (running_mean, running_var)
    if training:
        fits = values.shape[0] > 1 and eps > 0 and (known is not None or running_mean is running_var)
    else:
        fits = known is not None
    fixed = None if training else known
    norm = Norm(
        None,
        values.shape[1],
        eps,
        relu,
        Running(momentum, *known) if training and known else None,
        Fixed(*fixed) if fixed else None,
    )
    quick = autograd.quickly(values, weight, bias, norm) if fits else None
    if quick is not None:
        return quick
    if not (
        fits
        and autograd.takes(values, running_mean, running_var, weight, bias)
        and all(one.is_contiguous() for one in known or ())
    ):
        # Torch also says what is wrong: that a single token has no variance, or that sizes do not fit.
        y = F.batch_norm(values, running_mean, running_var, weight, bias, training, momentum, eps)
        return y.relu() if relu else y

    def composition(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return batch_norm_reference(values, weight, bias, fixed, eps, relu=relu)

    return autograd.normalize(values, weight, bias, norm, composition)


@implements(F.batch_norm)
def _batch_norm_of_ragged(x: Ragged, *args: Any, **kwargs: Any) -> Ragged:
    return x.with_values(batch_norm(x.values, *args, **kwargs))
