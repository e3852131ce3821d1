"""`FixedSource`: a data source with the same training examples in every epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from throughtime.data.stored_examples import AnyExamples


@dataclass(frozen=True)
class FixedSource:
    """A data source whose training examples are the same in every epoch.

    Parameters
    ----------
    shape : mapping
        See `Source.shape`.
    training_examples, validation : Examples or StoredExamples
        Examples to train on, and to choose the best epoch on.
    test : Examples, StoredExamples or None
        Examples for the final test score.
    description : mapping
        JSON values that identify the data, such as a hash.
    """

    shape: Mapping[str, int]
    training_examples: AnyExamples
    validation: AnyExamples
    test: AnyExamples | None
    description: Mapping[str, Any]

    def training(self, epoch: int) -> AnyExamples:  # noqa: ARG002 - the same in all epochs
        """Return the training examples."""
        return self.training_examples

    def describe(self) -> dict[str, Any]:
        """Return the description."""
        return dict(self.description)
