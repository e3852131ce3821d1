"""Sequences with their targets, and the protocol of a data source for training. No files, no models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from throughtime.data.finite import require_finite
from throughtime.errors import ShapeError
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Examples:
    """B sequences with their targets.

    Parameters
    ----------
    inputs : Ragged
        (T,) int64 tokens, or (T, C) steps of a series.
    targets : Tensor or Ragged
        One row for each sequence, such as (B,) class numbers or (B, K) values; or a `Ragged` with one
        target for each step, such as the tags of tokens.
    extra : Tensor, optional
        (B, K): further features of each sequence.
    weights : Tensor, optional
        (B,): weight of each sequence in the loss.
    rows : Tensor, optional
        (B,) int64, ascending: the row of a table that each sequence is a window of. Outputs of the windows of
        a row are averaged.

    Raises
    ------
    ShapeError
        If a part has another number of sequences than ``inputs``, or tags have other lengths.

    Examples
    --------
    >>> import torch
    >>> examples = Examples(Ragged.from_lengths(torch.arange(5), [2, 0, 3]), torch.tensor([0, 1, 0]))
    >>> len(examples), examples.select(torch.tensor([2])).inputs.values.tolist()
    (3, [2, 3, 4])
    """

    inputs: Ragged
    targets: Tensor | Ragged
    extra: Tensor | None = None
    weights: Tensor | None = None
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            part = getattr(self, field.name)
            if part is not None and len(part) != len(self.inputs):
                raise ShapeError(
                    f"Examples need {field.name} for each of {len(self.inputs)} sequences, got {len(part)}"
                )
        targets = self.targets
        if isinstance(targets, Ragged) and not torch.equal(targets.lengths, self.inputs.lengths):
            raise ShapeError("Examples: targets of steps must have the lengths of the inputs")

    @classmethod
    def cat(cls, parts: "Sequence[Examples]") -> "Examples":
        """Return the examples of several parts one after the other; an optional part needs to be in all.

        Raises
        ------
        ShapeError
            If one has features, weights or rows that another has not.
        """
        joined: list[Ragged | Tensor | None] = []
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            if any(value is None for value in values):
                if not all(value is None for value in values):
                    raise ShapeError(
                        f"some of the examples have {field.name} and others not; give all or none"
                    )
                joined.append(None)
            else:
                joined.append(Ragged.cat(values) if isinstance(values[0], Ragged) else torch.cat(values))
        return cls(*joined)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> Tensor:
        """Number of tokens or steps of each sequence, (B,) int64."""
        return self.inputs.lengths

    @property
    def labels(self) -> Tensor:
        """The targets as a tensor with one row for each sequence.

        Raises
        ------
        ShapeError
            If there is a target for each step.
        """
        if isinstance(self.targets, Ragged):
            raise ShapeError("these examples have a target for each step; use targets")
        return self.targets

    def select(self, index: Tensor) -> "Examples":
        """Return the examples at these indices, (n,) int64."""
        return Examples(*(None if part is None else part[index] for part in self._parts()))  # type: ignore[arg-type]

    def subset(self, index: Tensor) -> "Examples":
        """Return the examples at these indices, as `select`; for examples in a file, without loading them."""
        return self.select(index)

    def chunks(self) -> Iterator["Examples"]:
        """Yield all examples in parts that fit into memory."""
        yield self

    def require_finite(self, name: str) -> None:
        """Check that all values of the inputs are finite.

        Raises
        ------
        DataError
            If one is not; see `throughtime.data.finite.require_finite`.
        """
        require_finite(self.inputs, name)

    def to(self, *args: Any, **kwargs: Any) -> "Examples":
        """Move all parts, as `torch.Tensor.to` does for targets."""
        return Examples(*(None if part is None else part.to(*args, **kwargs) for part in self._parts()))  # type: ignore[arg-type]

    def _parts(self) -> tuple[Ragged | Tensor | None, ...]:
        return self.inputs, self.targets, self.extra, self.weights, self.rows


class Source(Protocol):
    """Protocol of a data source for training; of language and frame models its parts are `Ragged`."""

    @property
    def shape(self) -> Mapping[str, int]:
        """What the model reads: ``vocabulary_size`` of tokens or ``channels`` of series, and ``extra``.

        See `throughtime.models.ModelInputs`.
        """
        ...

    @property
    def validation(self) -> Any:
        """Examples for model selection; the same in every epoch."""
        ...

    @property
    def test(self) -> Any:
        """Examples for the final test score; None if there are none."""
        ...

    def training(self, epoch: int) -> Any:
        """Return the training examples of an epoch, deterministically."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return a description of the data as JSON values; equal descriptions mean equal data."""
        ...
