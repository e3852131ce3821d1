"""Labelled sequences of tokens, and where a training takes them from. No files, no models."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Examples:
    """B sequences of tokens, each with its class.

    Parameters
    ----------
    tokens : Ragged
        (T,) int64, below the vocabulary size.
    labels : Tensor
        (B,) int64, below the number of classes.

    Raises
    ------
    ShapeError
        If there are not as many labels as sequences.

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
        """Return the examples at these positions, (n,) int64."""
        return Examples(self.tokens[index], self.labels[index])

    def to(self, *args: Any, **kwargs: Any) -> "Examples":
        """Move tokens and labels, as `torch.Tensor.to` does."""
        return Examples(self.tokens.to(*args, **kwargs), self.labels.to(*args, **kwargs))


class Source(Protocol):
    """What a training needs to know of its data."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; a label is an index into them."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Every token is below it."""
        ...

    @property
    def validation(self) -> Examples:
        """Examples that decide which model is kept; the same every time."""
        ...

    @property
    def test(self) -> Examples | None:
        """Examples that nothing is decided by, if there are any."""
        ...

    def training(self, epoch: int) -> Examples:
        """Return the training examples of an epoch: a function of the epoch alone."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what the data is made of, as JSON; equal descriptions mean equal data."""
        ...
