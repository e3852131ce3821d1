"""Findings on a training run, which compare losses or look at many steps."""

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

# Losses count as equal if they differ by less than this fraction of the first.
EQUAL = 0.02


def order_unused(
    model: nn.Module, batch: Ragged, loss: Callable[[Any], Tensor], *, seed: int = 0
) -> Finding | None:
    """Check whether the loss depends on the order of the tokens.

    Parameters
    ----------
    model : Module
        Used in evaluation mode, without gradients.
    batch : Ragged
        Sequences of several tokens.
    loss : callable
        Maps the model's output to a scalar.
    seed
        Random seed of the permutation.

    Returns
    -------
    Finding or None
        None if the order matters. Takes two forward passes.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 4), tt.nn.Pool("mean"))  # ignores the order
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
    shuffled = batch.with_values(batch.values.index_select(0, order.to(batch.device)))
    with evaluating(model), torch.no_grad():
        in_order, permuted = float(loss(model(batch))), float(loss(model(shuffled)))
    if not math.isfinite(in_order + permuted):
        raise NotFiniteError(
            f"the losses of original and permuted tokens are {in_order} and {permuted}, which cannot be "
            "compared; check the inputs and weights"
        )
    if permuted > in_order + EQUAL * abs(in_order):
        return None
    change = "no worse"
    if permuted > in_order:
        change = f"only {100 * (permuted - in_order) / abs(in_order):.1f} % worse"
    return Finding(
        "order_unused",
        "warning",
        "the model",
        f"the loss is {change} when the tokens of each sequence are permuted",
        {"loss": in_order, "loss of permuted tokens": permuted},
        "The model makes little or no use of the order of these tokens.",
        "Train longer, or check whether the order matters for this task; if it does not, a bag of words is "
        "faster.",
        "L. Breiman, Machine Learning 45, 2001, section 10, on permuted inputs",
        "two forward passes",
        "accuracy",
    )


def no_gain_over_bag_of_words(
    losses: Tensor, bag_losses: Tensor, right: Tensor, bag_right: Tensor
) -> Finding | None:
    r"""Check whether a bag of words does as well as a model, or better, on the same sequences.

    Differences are taken sequence by sequence: with d_b the loss of the bag of words less that of the model,
    the model is ahead if the mean of d is above 1.96 standard errors, std(d) / √B, and behind if the mean is
    below minus that. Accuracies are compared in the same way.

    Parameters
    ----------
    losses, bag_losses : Tensor
        (B,) losses of the model and of the bag of words. Both must be fitted to the same training sequences,
        none of which is among these.
    right, bag_right : Tensor
        (B,) bool, whether each was classified correctly.

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
            f"more accurate than a bag of words on {count} sequences, but with a larger loss"
            if by_accuracy.side > 0
            else f"a smaller loss than a bag of words on {count} sequences, but less accurate"
        )
    elif -1 in sides:
        verdict = f"a bag of words does better on {count} sequences"
    else:
        verdict = f"a bag of words does as well on {count} sequences, within the standard error"
    return Finding(
        "no_gain_over_bag_of_words",
        "note" if 1 in sides else "warning",
        "the model",
        verdict,
        {
            "accuracy": float(right.double().mean()),
            "accuracy of the bag of words": float(bag_right.double().mean()),
            "loss": float(losses.double().mean()),
            "loss of the bag of words": float(bag_losses.double().mean()),
            "difference of losses": by_loss.mean,
            "half-width of its 95 % interval": by_loss.margin,
        },
        "Loss and accuracy disagree, so the predicted probabilities are poorly calibrated."
        if 1 in sides
        else "The model gains nothing from the order of the words.",
        "Check the calibration; stop training earlier, or use more dropout."
        if 1 in sides
        else "Train longer, with a larger learning rate or on more data; if that does not help, use the "
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
        """1 if the model is ahead, -1 if it is behind, 0 if the difference is not significant."""
        return (self.mean > self.margin) - (self.mean < -self.margin)


def _paired(differences: Tensor) -> _Paired:
    error = float(differences.std()) / math.sqrt(len(differences))
    return _Paired(float(differences.mean()), 1.96 * error)


def _require_alike(losses: Tensor, *others: Tensor) -> None:
    shapes = [tuple(part.shape) for part in (losses, *others)]
    if losses.dim() != 1 or len(losses) < 2 or len(set(shapes)) > 1:
        raise ShapeError(f"losses and correctness are four tensors (B,) with B >= 2; got shapes {shapes}")
    if not bool(losses.isfinite().all() and others[0].isfinite().all()):
        raise ShapeError(
            "losses must be finite; tt.diagnose.first_not_finite locates the first number that is not"
        )


def clipping(norms: Sequence[float], threshold: float) -> Finding | None:
    """Check whether clipping by norm always or never acts.

    Parameters
    ----------
    norms
        Gradient norms before clipping, one for each training step; at least 20.
    threshold
        Norm above which gradients are clipped.
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
        f"gradients were clipped in {100 * share:.0f} % of {len(norms)} steps",
        {"fraction of steps": share, "threshold": threshold, "median norm": middle},
        "The learning rate alone then sets the size of every update." if share else "Clipping had no effect.",
        f"Choose a threshold near the larger norms, about {2 * middle:.2g}, or use tt.diagnose.AdaptiveClip."
        if share
        else "Keep it as a safeguard, or choose a threshold near the larger norms.",
        "P. Seetharaman et al., AutoClip, MLSP 2020",
    )


def drifting(states: Ragged, name: str = "the state") -> Finding | None:
    """Check whether a state keeps growing along its sequences.

    Parameters
    ----------
    states : Ragged
        (T, H) such as ``layer.trace(x).c``, of long sequences.
    name
        Name of the state in the finding.
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
        "the state grows from each quarter of the sequences to the next",
        {f"norm in quarter {i + 1}": float(value) for i, value in enumerate(mean)},
        "On sequences longer than those of the training it leaves the range seen in training.",
        "Train on longer sequences with carried states (tt.bptt.Carried), bound c (cell_clip), or reset the "
        "state from time to time.",
        "H. Sak et al., Interspeech 2014, on bounds of c",
        "one forward pass over long sequences",
    )
