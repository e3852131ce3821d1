"""What ``throughtime diagnose`` asks of a model: about which sequences, and what is followed back in time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from throughtime.diagnose import Finding
from throughtime.ragged import Ragged
from throughtime.training import Run


@dataclass(frozen=True)
class Question:
    """A model, and the numbers of its output that are followed back through time.

    ``losses`` makes of the output one for each sequence. Explained is the logit of ``target``, or where there
    are no classes how little is lost.
    """

    model: nn.Module
    losses: Callable[[Any], Tensor]
    target: Tensor | None = None
    at: nn.Module | None = None
    """The module whose output counts as features of tokens."""


class Subject(Protocol):
    """Sequences whose loss is looked at, and how people read them."""

    @property
    def tokens(self) -> Ragged:
        """The sequences."""

    @property
    def words(self) -> Sequence[Sequence[str]]:
        """Of each sequence, one for each token."""

    @property
    def said(self) -> str:
        """What they are, for the head of a page."""

    def question(self, run: Run, count: int) -> Question:
        """Return what is asked of the run's model about the first so many sequences."""

    def quality(self, model: nn.Module) -> tuple[dict[str, Any], list[Finding]]:
        """Return how well the question's model does, and the findings that follow from it."""
