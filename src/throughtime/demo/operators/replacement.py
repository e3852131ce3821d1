"""Whether the operator of a window was replaced, from a prediction of the operator that the author wrote."""

import torch
from torch import Tensor, nn

from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.operators.families import OPERATORS
from throughtime.demo.operators.sites import OPEN
from throughtime.ragged import Ragged

VERDICTS = ("original", "replaced")
"""What `ReplacementDetector` predicts."""


def replacement_logits(logits: Tensor, shown: Tensor) -> Tensor:
    """Return the logits of "original" and "replaced".

    The operator o that a window shows was replaced if its author wrote another, so with the probabilities p
    of what the author wrote, the log odds of a replacement are log((1 − p(o)) / p(o)).

    Parameters
    ----------
    logits : Tensor
        (B, 23) of the author's operator.
    shown : Tensor
        (B,) int64, the number of the operator that each window shows.

    Returns
    -------
    Tensor
        (B, 2).

    Examples
    --------
    >>> probabilities = torch.tensor([[0.7, 0.2, 0.1]])
    >>> replacement_logits(probabilities.log(), torch.tensor([1])).softmax(1)
    tensor([[0.2000, 0.8000]])
    """
    place = shown[:, None]
    others = logits.scatter(1, place, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([logits.gather(1, place), others], 1)


def shown_operators(tokens: Ragged, vocabulary: Vocabulary) -> Tensor:
    """Return the number of each window's operator, which follows the opening marker, (B,) int64."""
    values = tokens.values
    operators = values[torch.nonzero(values == vocabulary.number(OPEN)).flatten() + 1]
    known = torch.tensor([vocabulary.number(name) for name in OPERATORS], device=values.device)
    return (operators[:, None] == known).int().argmax(1)


class ReplacementDetector(nn.Module):
    """A network that predicts the author's operator, with the logits of "original" and "replaced" as outputs.

    Parameters
    ----------
    network : Module
        Maps windows to (B, 23) logits.
    vocabulary : Vocabulary
        What the tokens of windows mean.
    """

    def __init__(self, network: nn.Module, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.network = network
        self.vocabulary = vocabulary

    def forward(self, tokens: Ragged) -> Tensor:
        """Return the logits, (B, 2)."""
        return replacement_logits(self.network(tokens), shown_operators(tokens, self.vocabulary))
