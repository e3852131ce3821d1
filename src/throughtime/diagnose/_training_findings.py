"""Verdicts on a training: they compare losses, or look at many steps, and say what that cost."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._findings import STUCK, Finding
from throughtime.errors import NotFiniteError, ShapeError
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged

# Losses count as equal if they differ by less than this share of the first.
EQUAL = 0.02


def order_unused(
    model: nn.Module, batch: Ragged, loss: Callable[[Any], Tensor], *, seed: int = 0
) -> Finding | None:
    """Compare the loss with that of the same tokens in another order.

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
    if mixed > own + EQUAL * abs(own):
        return None
    return Finding(
        "order_unused",
        "warning",
        "the model",
        "the loss is no worse when the tokens of each sequence are put in another order",
        {"loss": own, "loss out of order": mixed},
        "The model does not use the order of these tokens.",
        "Train longer, or look whether the order matters for this task at all: if it does not, a model "
        "without it is faster.",
        "L. Breiman, Machine Learning 45, 2001, section 10, on permuted inputs",
        "two forward passes",
        "accuracy",
    )


def no_gain_over_bag_of_words(
    losses: Tensor, bag_losses: Tensor, right: Tensor, bag_right: Tensor
) -> Finding | None:
    r"""Say whether a bag of words does as well as a model, or better, on the same sequences.

    Differences are taken sequence by sequence: with d_b the loss of the bag of words less that of the model,
    the model is ahead if the mean of d is above 1.96 standard errors, std(d) / √B, and behind if the mean is
    below minus that. Accuracies are compared in the same way.

    Parameters
    ----------
    losses, bag_losses : Tensor
        (B,) the loss of each sequence, of the model and of the bag of words. Neither was fitted to these
        sequences, and both were to the same others.
    right, bag_right : Tensor
        (B,) bool, whether each was classified right.

    Returns
    -------
    Finding or None
        A warning if the model is ahead in neither, a note if it is ahead in one and behind in the other, else
        None.

    Raises
    ------
    ShapeError
        If sizes differ, there are fewer than two sequences, or a loss is not finite.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> losses, right = torch.rand(100), torch.rand(100) < 0.8
    >>> tt.diagnose.no_gain_over_bag_of_words(losses, losses - 0.2, right, right).verdict
    'a bag of words does better on 100 sequences'
    """
    _require_alike(losses, bag_losses, right, bag_right)
    by_loss = _paired(bag_losses.double() - losses.double())
    by_accuracy = _paired(right.double() - bag_right.double())
    sides = {by_loss.side, by_accuracy.side}
    if 1 in sides and -1 not in sides:
        return None
    count = len(losses)
    if sides == {1, -1}:
        verdict = (
            f"more often right than a bag of words on {count} sequences, but with a larger loss"
            if by_accuracy.side > 0
            else f"a smaller loss than that of a bag of words on {count} sequences, but less often right"
        )
    elif -1 in sides:
        verdict = f"a bag of words does better on {count} sequences"
    else:
        verdict = f"a bag of words does as well on {count} sequences, within the error of so many"
    return Finding(
        "no_gain_over_bag_of_words",
        "note" if 1 in sides else "warning",
        "the model",
        verdict,
        {
            "accuracy": float(right.double().mean()),
            "accuracy of the bag": float(bag_right.double().mean()),
            "loss": float(losses.double().mean()),
            "loss of the bag": float(bag_losses.double().mean()),
            "difference of losses": by_loss.mean,
            "its 95 % interval, plus or minus": by_loss.margin,
        },
        "Its probabilities are further from the truth than its decisions, or the other way round."
        if 1 in sides
        else "So far, nothing is gained from the order of the words.",
        "Look at the calibration; stop earlier, or use more dropout."
        if 1 in sides
        else "Train longer, with a larger learning rate or on more rows; if that does not help, use the "
        "bag of words.",
        "S. Wang and C. Manning, Baselines and bigrams, ACL 2012",
        "training of a bag of words",
        "accuracy",
    )


@dataclass(frozen=True)
class _Paired:
    mean: float
    margin: float

    @property
    def side(self) -> int:
        """1 where the model is ahead, -1 where it is behind, 0 where that cannot be told."""
        return (self.mean > self.margin) - (self.mean < -self.margin)


def _paired(differences: Tensor) -> _Paired:
    error = float(differences.std()) / math.sqrt(len(differences))
    return _Paired(float(differences.mean()), 1.96 * error)


def _require_alike(losses: Tensor, *others: Tensor) -> None:
    shapes = [tuple(part.shape) for part in (losses, *others)]
    if losses.dim() != 1 or len(losses) < 2 or len(set(shapes)) > 1:
        raise ShapeError(f"two sequences or more are compared, with four numbers each; got shapes {shapes}")
    if not bool(losses.isfinite().all() and others[0].isfinite().all()):
        raise ShapeError("losses are finite numbers; tt.diagnose.first_not_finite says where one is not")


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
