"""Verdicts on a training: they compare losses, or look at many steps, and say what that cost."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._findings import STUCK, Finding
from throughtime.errors import NotFiniteError, ShapeError
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged

# Losses within this share of each other count as equal.
EQUAL = 0.02


def order_unused(
    model: nn.Module, batch: Ragged, loss: Callable[[Any], Tensor], *, seed: int = 0
) -> Finding | None:
    """Compare the loss with that of the same tokens in another order: a bag of tokens would do as well.

    Parameters
    ----------
    model : Module
        Takes the batch; used in evaluation mode, without gradients.
    batch : Ragged
        Sequences of several tokens.
    loss : callable
        From the model's output to a scalar.
    seed
        Of the order drawn.

    Returns
    -------
    Finding or None
        None if the order matters. Costs two forward passes.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 4), tt.nn.Pool("mean"))  # no recurrence at all
    >>> batch = tt.Ragged.from_lengths(torch.arange(9), [4, 5])
    >>> tt.diagnose.order_unused(model, batch, lambda y: y.square().mean()).code
    'order_unused'
    """
    generator = torch.Generator().manual_seed(seed)
    layout = batch.layout
    keys = torch.rand(len(batch.values), generator=generator)
    # Within each sequence by a random key.
    order = torch.argsort(keys)
    order = order[torch.argsort(layout.sequence_ids[order].cpu(), stable=True)]
    mixed_up = batch.with_values(batch.values.index_select(0, order.to(batch.device)))
    with evaluating(model), torch.no_grad():
        own, mixed = float(loss(model(batch))), float(loss(model(mixed_up)))
    if not math.isfinite(own + mixed):
        raise NotFiniteError(
            f"the losses in order and out of order are {own} and {mixed}; nothing can be said"
        )
    if mixed > own * (1 + EQUAL):
        return None
    return Finding(
        "order_unused",
        "warning",
        "the model",
        "the loss is no worse when the tokens of each sequence are put in another order",
        {"loss": own, "loss out of order": mixed},
        "The recurrent part has learned nothing that a bag of tokens does not hold.",
        "Train longer, or look whether the order matters for this task at all: if it does not, a bag of "
        "tokens is faster and as good.",
        "L. Breiman, Machine Learning 45, 2001, section 10, on permuted inputs",
        "two forward passes",
    )


def no_minimum(
    gradient_norm: float, loss: float, memoryless_loss: float, *, small: float = 1e-3
) -> Finding | None:
    """Tell a vanished gradient from a minimum: small, and yet the loss is no better than without memory.

    Parameters
    ----------
    gradient_norm
        Of all parameters.
    loss
        Of the model.
    memoryless_loss
        Of a model that sees no order, or only the last token, on the same data.
    small
        Norms below count as small.
    """
    _require_finite(gradient_norm=gradient_norm, loss=loss, memoryless_loss=memoryless_loss)
    if gradient_norm >= small or loss < memoryless_loss * (1 - EQUAL):
        return None
    return Finding(
        "no_minimum",
        "problem",
        "the training",
        "gradients are small, but this is no minimum that a recurrent model should rest in: its loss is no "
        "better than that of a model without memory",
        {"norm of the gradient": gradient_norm, "loss": loss, "loss without memory": memoryless_loss},
        "A vanished gradient looks like a minimum.",
        "See vanishing; try an LSTM with chrono initialisation, a larger learning rate, or shorter sequences "
        "first.",
        "Y. Bengio et al., IEEE Transactions on Neural Networks 5, 1994",
        "training of a model without memory",
    )


def bag_does_as_well(loss: float, memoryless_loss: float) -> Finding | None:
    """Say whether a model without memory reaches the same loss: then the recurrent part has earned nothing.

    Parameters
    ----------
    loss, memoryless_loss
        Of the model, and of one that sees no order, on the same data.

    Examples
    --------
    >>> import throughtime as tt
    >>> tt.diagnose.bag_does_as_well(loss=0.71, memoryless_loss=0.70).code
    'bag_does_as_well'
    """
    _require_finite(loss=loss, memoryless_loss=memoryless_loss)
    if loss < memoryless_loss * (1 - EQUAL):
        return None
    return Finding(
        "bag_does_as_well",
        "warning",
        "the model",
        f"its loss is {loss:.3f}, and {memoryless_loss:.3f} that of a model which sees no order",
        {"loss": loss, "loss without memory": memoryless_loss},
        "The recurrent part has not earned its time yet.",
        "Train longer, or with a larger learning rate, and see whether it gets ahead; if not, take the bag.",
        "S. Wang and C. Manning, Baselines and bigrams, ACL 2012",
        "training of a model without memory",
    )


def _require_finite(**numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise ShapeError(f"{name} is a finite number, got {value}")


def clipping(norms: Sequence[float], threshold: float) -> Finding | None:
    """Say whether clipping by norm always or never acts.

    Parameters
    ----------
    norms
        Of the gradient before clipping, one for each step of the training; at least 20.
    threshold
        Above which a step is clipped.
    """
    if len(norms) < 20:
        return None
    share = sum(norm > threshold for norm in norms) / len(norms)
    if 0 < share < STUCK:
        return None
    middle = sorted(norms)[len(norms) // 2]
    return Finding(
        "clip_always" if share else "clip_never",
        "warning" if share else "note",
        "the training",
        f"{share:.0%} of {len(norms)} steps were clipped",
        {"share": share, "threshold": threshold, "median norm": middle},
        "Then the length of every step is the learning rate's alone." if share else "It has not acted.",
        f"Choose a threshold near the larger norms, about {2 * middle:.2g}, or use AdaptiveClip."
        if share
        else "Leave it as a safeguard, or choose a threshold near the larger norms.",
        "P. Seetharaman et al., AutoClip, MLSP 2020",
    )


def drifting(states: Ragged, name: str = "the state") -> Finding | None:
    """Say whether a state grows all along its stream.

    Parameters
    ----------
    states : Ragged
        (T, H) such as ``layer.trace(x).c``, of long sequences.
    name
        What to call it.
    """
    norms = torch.linalg.vector_norm(states.values.detach().double(), dim=-1)
    quarters = [
        torch.stack([part.mean() for part in row.tensor_split(4)])
        for row in states.with_values(norms)
        if len(row) >= 40
    ]
    if not quarters:
        return None
    mean = torch.stack(quarters).mean(0)
    grows = bool((mean.diff() > 0).all()) and float(mean[3] / mean[1].clamp_min(1e-30)) > 1.5
    if not grows:
        return None
    return Finding(
        "drifting",
        "warning",
        name,
        "the state grows from quarter to quarter of its sequences",
        {f"norm in quarter {i + 1}": float(value) for i, value in enumerate(mean)},
        "On longer streams than those of the training it leaves the range that was trained.",
        "Train on longer sequences with carried states (tt.bptt.Carried), bound c (cell_clip), or reset "
        "streams.",
        "H. Sak et al., Interspeech 2014, on bounds of c",
        "one forward pass over long sequences",
    )
