"""A model applied to many sequences, in batches of equal token count. Changes no weight."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime.data.batches import ordered_batches
from throughtime.data.examples import Examples
from throughtime.data.finite import require_finite
from throughtime.errors import NotFiniteError, ShapeError
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged
from throughtime.training._metrics import Score


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
    with evaluating(model), torch.no_grad():
        batches = list(_logits_by_batch(model, tokens, tokens_per_batch))
    logits = torch.cat([part for _, part in batches])
    return torch.empty_like(logits).index_copy_(0, torch.cat([rows for rows, _ in batches]), logits)


def evaluate(model: nn.Module, examples: Examples, *, tokens_per_batch: int = 16384) -> Score:
    """Return the loss and accuracy of a model on labelled examples.

    Logits are kept for one batch at a time; for those of all examples use `predict`.

    Parameters
    ----------
    model : Module
        Tokens to logits (B, C); every module in it is left in the mode that it was in.
    examples : Examples
        At least one.
    tokens_per_batch : int
        See `predict`.

    Returns
    -------
    Score
        Mean cross-entropy per example in nats, accuracy, and number of examples.

    Raises
    ------
    ShapeError
        If there are no examples.
    DataError, NotFiniteError
        See `predict`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from throughtime.data.examples import Examples
    >>> tokens = tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4, 5])])
    >>> model = tt.models.BiGRU(vocabulary_size=10, outputs=2)
    >>> evaluate(model, Examples(tokens, torch.tensor([0, 1]))).examples
    2
    """
    if len(examples) == 0:
        raise ShapeError("evaluate got no examples; give at least one")
    require_finite(examples.tokens, "the sequences to evaluate on")
    labels, loss, correct = examples.labels.cpu(), 0.0, 0
    with evaluating(model), torch.no_grad():
        for rows, logits in _logits_by_batch(model, examples.tokens, tokens_per_batch):
            loss += F.cross_entropy(logits, labels[rows], reduction="none").double().sum().item()
            correct += int((logits.argmax(dim=1) == labels[rows]).sum())
    return Score(loss / len(examples), correct / len(examples), len(examples))


def _logits_by_batch(
    model: nn.Module, tokens: Ragged, tokens_per_batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the numbers of a batch's sequences and their logits, on the CPU."""
    device = next((p.device for p in model.parameters()), tokens.device)
    for rows in ordered_batches(tokens.lengths, tokens_per_batch):
        logits = model(tokens[rows].to(device)).cpu()
        _require_numbers(logits, rows, len(tokens))
        yield rows, logits


def _require_numbers(logits: Tensor, rows: Tensor, sequences: int) -> None:
    # An infinite logit may be intended: it rules a class out.
    wrong = rows[logits.isnan().reshape(len(logits), -1).any(1)]
    if len(wrong):
        raise NotFiniteError(
            f"the logits of sequence {int(wrong.min())} (of {sequences}) are nan although all inputs are "
            "finite: a weight is nan, or a computation in the model overflows; find it with "
            "throughtime.diagnose.locate_not_finite"
        )
