"""A model applied to many sequences, in batches of equal token count. Changes no weight."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime.data.batches import ordered_batches
from throughtime.data.examples import Examples
from throughtime.data.finite import require_finite
from throughtime.errors import NotFiniteError, ShapeError
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Evaluation:
    """What a model says of labelled examples, and how right it is."""

    logits: Tensor
    """(B, C) float32, in the examples' order."""
    loss: float
    """Mean cross-entropy per example, in nats."""
    accuracy: float
    """From 0 to 1."""

    @property
    def probabilities(self) -> Tensor:
        """(B, C) float32, each row adding up to 1."""
        return self.logits.softmax(dim=1)


def predict(model: nn.Module, tokens: Ragged, *, tokens_per_batch: int = 16384) -> Tensor:
    """Return the logits of all sequences, in their order.

    Parameters
    ----------
    model : Module
        Tokens to logits (B, C), as those of `throughtime.models`; every module in it is left in the mode
        that it was in.
    tokens : Ragged
        (T,) int64, or what else the model reads, such as series (T, D).
    tokens_per_batch : int
        Batches have at most so many tokens, except a single sequence that is longer itself.

    Returns
    -------
    Tensor
        (B, C), on the CPU.

    Raises
    ------
    ShapeError
        If there are no sequences.
    DataError
        If a value is infinite or not a number; the message names its place.
    NotFiniteError
        If a logit is not a number though all values are finite.
    """
    if len(tokens) == 0:
        raise ShapeError("predict got no sequences; give at least one")
    require_finite(tokens, "the sequences to predict")
    batches = ordered_batches(tokens.lengths, tokens_per_batch)
    device = next((p.device for p in model.parameters()), tokens.device)
    with evaluating(model), torch.no_grad():
        logits = torch.cat([model(tokens[batch].to(device)).cpu() for batch in batches])
    logits = torch.empty_like(logits).index_copy_(0, torch.cat(batches), logits)
    _require_numbers(logits)
    return logits


def evaluate(model: nn.Module, examples: Examples, *, tokens_per_batch: int = 16384) -> Evaluation:
    """Apply a model to labelled examples.

    Parameters
    ----------
    model : Module
        Tokens to logits (B, C); every module in it is left in the mode that it was in.
    examples : Examples
        At least one.
    tokens_per_batch : int
        See `predict`.

    Raises
    ------
    ShapeError
        If there are no examples.
    DataError, NotFiniteError
        See `predict`.
    """
    logits = predict(model, examples.tokens, tokens_per_batch=tokens_per_batch)
    labels = examples.labels.cpu()
    return Evaluation(
        logits=logits,
        loss=F.cross_entropy(logits, labels).item(),
        accuracy=(logits.argmax(dim=1) == labels).double().mean().item(),
    )


def _require_numbers(logits: Tensor) -> None:
    # An infinite logit may be meant: it rules a class out.
    wrong = logits.isnan().reshape(len(logits), -1).any(1).nonzero()
    if len(wrong):
        raise NotFiniteError(
            f"the logits of sequence {int(wrong[0])} (of {len(logits)}) are nan, though all that was given "
            "to the model is finite: a weight is nan, or something in the model overflows; "
            "look for it with throughtime.diagnose.locate_not_finite"
        )
