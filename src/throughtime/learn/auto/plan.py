"""`Plan`: which models are trained, for how long, and on how many folds: by sizes, not by clocks."""

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Self

from throughtime._duration import duration_text
from throughtime._fields import Fields, Positive, to_json
from throughtime._options import named
from throughtime.errors import RunError, ShapeError
from throughtime.learn.auto.candidates import Candidate, Sizes, candidates
from throughtime.learn.automatic import automatic_batch
from throughtime.models import model_options
from throughtime.training import ModelSpec, Run

_FOLDS_AND_COPIES = ((5, 3), (3, 2), (3, 1))
"""Numbers of folds, and of copies of each network that are trained on all rows afterwards, the best first."""
_COPIES = (2, 1)
"""Numbers of copies without folds, where models are trained on the training part."""
_FEWEST = 10
"""Fewer rows are not divided into folds."""
_SECONDS = 120.0
_STEPS = 100_000
_MOST_SECONDS = 1200.0
"""The default budget is `_SECONDS` for so many steps (10,000 short texts), then proportional, up to this."""


@dataclass(frozen=True)
class Member:
    """A model of a plan.

    Parameters
    ----------
    model : str
        Its name.
    options : mapping
        Its options.
    copies : int
        Copies, trained with different seeds, whose outputs are averaged; 1 of a model that is solved for.
    epochs : int
        Most epochs of each copy.
    tokens_per_batch : int
        Most tokens or steps of a batch.
    settings : mapping
        Further settings of the training.
    seconds : float
        Expected time.
    solved : bool
        Whether its weights are solved for, without epochs.
    prior : float
        See `Candidate`, for all copies.
    """

    model: str
    options: Mapping[str, Any]
    copies: Positive
    epochs: Positive
    tokens_per_batch: Positive
    settings: Mapping[str, Any]
    seconds: float
    solved: bool
    prior: float

    @property
    def spec(self) -> ModelSpec:
        """The architecture."""
        return ModelSpec(self.model, self.options)

    def __str__(self) -> str:
        """Name the model and its epochs."""
        if self.solved:
            return f"{self.model} (solved for)"
        copies = f", {self.copies} copies" if self.copies > 1 else ""
        return f"{self.model} ({self.epochs} epochs{copies})"


@dataclass(frozen=True)
class Plan:
    """Which models are trained and blended.

    Parameters
    ----------
    budget : float
        Time that the training was allowed, in seconds.
    folds : int
        Number of folds; 1 for a plain training and validation part.
    members : tuple of Member
        The models.
    """

    budget: float
    folds: Positive
    members: tuple[Member, ...]

    @property
    def seconds(self) -> float:
        """Expected time on two cores of a server of 2024."""
        return sum(member.seconds for member in self.members)

    @property
    def spec(self) -> ModelSpec:
        """The architecture of the blend, or of the only model."""
        if self.is_single:
            return self.members[0].spec
        return ModelSpec.blend([(member.spec, member.copies) for member in self.members])

    def with_embedding(self, size: int | None) -> Self:
        """Return the plan with embeddings of the size of pretrained vectors; None leaves it as it is."""
        if size is None:
            return self
        members = tuple(
            replace(member, options={**member.options, "embedding_size": size})
            if "embedding_size" in model_options(member.model)
            else member
            for member in self.members
        )
        return replace(self, members=members)

    def without_settings(self, given: Set[str]) -> Self:
        """Return the plan without the settings that the user gives, which then hold for all models.

        With patience, the best epoch of each copy is kept.
        """
        dropped = given | {"keep"} if "patience" in given else given
        members = tuple(
            replace(member, settings={k: v for k, v in member.settings.items() if k not in dropped})
            for member in self.members
        )
        return replace(self, members=members)

    @property
    def is_whole(self) -> bool:
        """Whether a larger budget would change nothing."""
        return self.folds == _FOLDS_AND_COPIES[0][0]

    @property
    def is_single(self) -> bool:
        """Whether a single model is trained, on the parts as they are."""
        return self.folds == 1 and len(self.members) == 1 and self.members[0].copies == 1

    def __str__(self) -> str:
        """Say what is trained."""
        names = ", ".join(map(str, self.members))
        on = f", each on {self.folds} folds and then on all rows" if self.folds > 1 else ""
        return f"auto trains {names}{on}; expected time {duration_text(self.seconds)}"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the plan that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type.
        """
        return Fields(content, "plan.").dataclass(cls)


def planned(run: Run) -> Plan | None:
    """Return the plan of a run; None if it has none.

    Raises
    ------
    RunError
        If it is damaged.
    """
    content = run.config.recipe.get("plan")
    try:
        return None if content is None else Plan.from_json(content)
    except ValueError as error:
        raise RunError(
            f"{run.path / 'config.json'} is damaged: {error}; restore the file or train again"
        ) from error


def default_budget(sizes: Sizes) -> float:
    """Return two minutes for up to 100,000 tokens or steps, then in proportion, at most 20 minutes."""
    return min(_MOST_SECONDS, _SECONDS * max(1.0, sizes.steps / _STEPS))


def plan_of(
    sizes: Sizes,
    *,
    budget: float | None = None,
    epochs: int | None = None,
    tokens_per_batch: int | None = None,
    may_fold: bool = True,
    may_blend: bool = True,
) -> Plan:
    """Return the plan for data of these sizes.

    All models on 5 folds are preferred; if their expected time is above the budget, fewer folds, then fewer
    models, and then fewer epochs of the first network.

    Parameters
    ----------
    sizes : Sizes
        Of the data.
    budget : float, optional
        Time in seconds; by default `default_budget`.
    epochs, tokens_per_batch : int, optional
        Of every network, in place of what follows from the sizes.
    may_fold : bool
        Whether validation rows may be trained on.
    may_blend : bool
        Whether several models may be trained.

    Raises
    ------
    ShapeError
        If the budget is too small for one epoch of the first network.
    """
    allowed = default_budget(sizes) if budget is None else budget
    batch = automatic_batch(sizes.steps, sizes.rows) if tokens_per_batch is None else tokens_per_batch
    planner = _Planner(sizes, allowed, batch, epochs)
    every = candidates(sizes)
    network = next((candidate for candidate in every if not candidate.solved), every[0])
    solved = [candidate for candidate in every if candidate.solved]
    if may_blend:
        for chosen, folds, copies in _choices(every, network, may_fold=may_fold and sizes.rows >= _FEWEST):
            plan = planner.plan(chosen, folds, copies)
            if plan.seconds <= allowed:
                return plan
        shorter = planner.shorter(network, solved)
        if shorter is not None:
            return shorter
    shorter = planner.shorter(network, [])
    if shorter is not None:
        return shorter
    once = network.seconds(sizes, 1, batch)
    raise ShapeError(
        f"a budget of {duration_text(allowed)} is too small for one epoch of {network.model} on "
        f"{sizes.steps:,} tokens or steps, which takes about {duration_text(once)}; give more "
        f"({named('budget')}), or name a smaller model ({named('model')})"
    )


def _choices(
    every: Sequence[Candidate], network: Candidate, *, may_fold: bool
) -> Iterator[tuple[Sequence[Candidate], int, int]]:
    """Yield models, folds and copies, the best first."""
    few = [candidate for candidate in every if candidate.solved or candidate is network]
    for folds, copies in (*(_FOLDS_AND_COPIES if may_fold else ()), *((1, copies) for copies in _COPIES)):
        for chosen in (every, few):
            yield chosen, folds, copies


@dataclass(frozen=True)
class _Planner:
    """Makes plans for data of some sizes."""

    sizes: Sizes
    budget: float
    tokens_per_batch: int
    epochs: int | None

    def plan(self, chosen: Sequence[Candidate], folds: int, copies: int, epochs: int | None = None) -> Plan:
        """Return the plan with these models."""
        networks = sum(not candidate.solved for candidate in chosen)
        members = (self._member(candidate, folds, copies, networks, epochs) for candidate in chosen)
        return Plan(self.budget, folds, tuple(members))

    def shorter(self, network: Candidate, solved: Sequence[Candidate]) -> Plan | None:
        """Return a plan without folds, with as many epochs of a network as fit; None if none does."""
        left = self.budget - self.plan(solved, 1, 1).seconds
        whole = self.plan([network], 1, 1).members[0]
        epochs = min(whole.epochs, math.floor(whole.epochs * left / whole.seconds))
        return self.plan([network, *solved], 1, 1, epochs) if epochs > 0 else None

    def _member(
        self, candidate: Candidate, folds: int, copies: int, networks: int, epochs: int | None
    ) -> Member:
        epochs = self.epochs if epochs is None else epochs
        if epochs is None:
            epochs = candidate.epochs_for(self.sizes, self.tokens_per_batch)
        copies = 1 if candidate.solved else copies
        once = candidate.seconds(self.sizes, epochs, self.tokens_per_batch)
        return Member(
            model=candidate.model,
            options=dict(candidate.options),
            copies=copies,
            epochs=epochs,
            tokens_per_batch=self.tokens_per_batch,
            settings=dict(candidate.settings),
            seconds=((folds - 1 if folds > 1 else 0) + copies) * once,
            solved=candidate.solved,
            prior=candidate.prior / (1 if candidate.solved else networks),
        )
