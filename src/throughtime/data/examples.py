"""Labelled sequences of tokens, and the protocol of a data source for training. No files, no models."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Examples:
    """B sequences of tokens with their classes.

    Parameters
    ----------
    tokens : Ragged
        (T,) int64, below the vocabulary size.
    labels : Tensor
        (B,) int64, below the number of classes.

    Raises
    ------
    ShapeError
        If the number of labels differs from the number of sequences.

    Examples
    --------
    >>> import torch
    >>> examples = Examples(Ragged.from_lengths(torch.arange(5), [2, 0, 3]), torch.tensor([0, 1, 0]))
    >>> len(examples), examples.select(torch.tensor([2])).tokens.values.tolist()
    (3, [2, 3, 4])
    """

    tokens: Ragged
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.tokens),):
            raise ShapeError(
                f"Examples need one label for each of {len(self.tokens)} sequences, "
                f"got labels of shape {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def select(self, index: Tensor) -> "Examples":
        """Return the examples at these indices, (n,) int64."""
        return Examples(self.tokens[index], self.labels[index])

    def to(self, *args: Any, **kwargs: Any) -> "Examples":
        """Move tokens and labels, as `torch.Tensor.to` does."""
        return Examples(self.tokens.to(*args, **kwargs), self.labels.to(*args, **kwargs))


class Source(Protocol):
    """Protocol of a data source for the training of a classifier."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, indexed by the labels."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens V; tokens are 0 to V − 1."""
        ...

    @property
    def validation(self) -> Examples:
        """Examples for model selection; the same in every epoch."""
        ...

    @property
    def test(self) -> Examples | None:
        """Examples for the final test score, if any."""
        ...

    def training(self, epoch: int) -> Examples:
        """Return the training examples of an epoch, deterministically."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return a description of the data as JSON values; equal descriptions mean equal data."""
        ...
