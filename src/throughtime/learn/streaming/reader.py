"""Interface of readers, which turn chunks of raw data into steps."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from throughtime.ragged import Ragged


class Reader(Protocol):
    """What turns the chunks of sequences into steps. What it keeps of a sequence is JSON values."""

    @property
    def empty(self) -> Tensor:
        """Steps of length 0: tokens (0,) int64 or (0, C) float32."""

    def begin(self) -> Any:
        """Return what is kept of a sequence at its beginning."""

    def encode(self, chunks: Mapping[Hashable, Any], kept: Sequence[Any]) -> tuple[Ragged, list[Any]]:
        """Return the next steps of each sequence, and what is kept of it after them.

        Raises
        ------
        DataError
            If a chunk cannot be read; the message names its key.
        """

    def finish(self, kept: Any) -> Ragged | None:
        """Return the last steps of a sequence; None if nothing is kept."""
