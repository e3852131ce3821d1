"""`Outcome`: what the models of a plan reached on held-out rows, and their weights in the blend."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from throughtime._fields import Fields, Number, Positive, to_json
from throughtime.training import Run

NAME = "blend.json"


@dataclass(frozen=True)
class MemberOutcome:
    """A model of a blend.

    Parameters
    ----------
    model : str
        Its name.
    copies : int
        Trained copies that are averaged.
    figures : mapping of str to float
        Metrics of its held-out outputs; each copy puts out those of its own fold.
    weight : float
        In the blend; 0 if it was left out.
    seconds : float
        Training time of all copies.
    """

    model: str
    copies: Positive
    figures: Mapping[str, Number]
    weight: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The models of a blend and the blend itself, on the same held-out rows.

    Parameters
    ----------
    members : tuple of MemberOutcome
        In the order of the plan.
    figures : mapping of str to float
        Metrics of the blend of the held-out outputs.
    rows : int
        Number of held-out rows.
    folds : int
        Number of folds.
    """

    members: tuple[MemberOutcome, ...]
    figures: Mapping[str, Number]
    rows: Positive
    folds: Positive

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the outcome that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type.
        """
        return Fields(content, "blend.").dataclass(cls)


def read_outcome(run: Run) -> Outcome | None:
    """Return the outcome in the folder of a run; None if it is not of a blend.

    Raises
    ------
    RunError
        If the file is damaged.
    """
    return run.read_as(NAME, Outcome.from_json)
