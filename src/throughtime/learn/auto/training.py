"""`fit_plan`: train the models of a plan on their folds, and blend them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime.baselines import solve
from throughtime.data.batches import derived_seed
from throughtime.data.examples import Examples
from throughtime.data.fixed_source import FixedSource
from throughtime.learn.auto.outcome import NAME, MemberOutcome, Outcome
from throughtime.learn.auto.plan import Member, Plan
from throughtime.learn.auto.pool import Fold, Pool, pool_of
from throughtime.learn.auto.weights import fitted_weights
from throughtime.learn.prepared import Prepared
from throughtime.models import Blend
from throughtime.models.solved import SolvedModel
from throughtime.tasks import METRICS, SequenceTask, model_outputs
from throughtime.training import (
    EpochMetrics,
    FitResult,
    Metrics,
    ModelSpec,
    Run,
    Score,
    fit,
    only_training,
    require_same,
)

_FOLDER = "members"
_SECONDS_BETWEEN_SAVES = 20.0


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The training of a copy was stopped; its state is saved."""


@dataclass(frozen=True)
class Trained:
    """A trained model of a plan.

    Parameters
    ----------
    member : Member
        What was planned.
    models : sequence of Module
        Its copies.
    outputs : Tensor
        (B, N) outputs for the held-out examples of the pool, in their order.
    steps, tokens, seconds
        Updates of the weights, tokens trained on, and time of all its trainings.
    """

    member: Member
    models: Sequence[nn.Module]
    outputs: Tensor
    steps: int
    tokens: int
    seconds: float


def fit_plan(
    prepared: Prepared,
    plan: Plan,
    run: Run,
    *,
    resume: bool = False,
    resumable: bool = True,
    device: str | None = None,
    progress: bool = True,
) -> FitResult:
    """Train the models of a plan on the folds of the rows, fit the weights of their blend, and write the run.

    Copies of each network are first trained on the folds, without the rows that each holds out, and then on
    all rows; the weights are fitted to the outputs for held-out rows, and the blend consists of the copies
    that have seen all rows. With a single fold, the copies are trained on its training rows alone. Each
    training has a run of its own in the folder ``members`` of the run, which is removed at the end. A stopped
    training goes on where it stopped, with the same result.

    Parameters
    ----------
    prepared : Prepared
        The data.
    plan : Plan
        What to train.
    run : Run
        Created with the architecture of the plan.
    resume, resumable, device
        See `throughtime.training.fit`.
    progress : bool
        Whether to print the plan and a line for each training.
    """
    settings = prepared.recipe.settings()
    require_same(run, prepared.source, prepared.task, run.config.model, settings)
    if resume and run.metrics.stopped is not None:
        return FitResult(run, run.metrics, interrupted=False, already_finished=True)
    training = _Training(prepared, plan, run, pool_of(prepared, plan.folds), resumable, device, progress)
    training.say(str(plan))
    with only_training(run.path):
        try:
            trained = [training.trained(place, member) for place, member in enumerate(plan.members)]
            training.finish(trained)
        except (Interrupted, KeyboardInterrupt):
            return FitResult(run, run.metrics, interrupted=True, already_finished=False)
    return FitResult(training.run, training.run.metrics, interrupted=False, already_finished=False)


@dataclass
class _Training:
    """The training of the models of one plan."""

    prepared: Prepared
    plan: Plan
    run: Run
    pool: Pool
    resumable: bool
    device: str | None
    progress: bool

    @property
    def task(self) -> SequenceTask:
        """The task of the run."""
        return cast("SequenceTask", self.run.config.task)

    def say(self, line: str) -> None:
        """Print a line on the progress."""
        if self.progress:
            print(line, flush=True)  # noqa: T201 - what the user asked for

    def trained(self, place: int, member: Member) -> Trained:
        """Return a trained model of the plan."""
        return self._solved(member) if member.solved else self._network(place, member)

    # ---------------------------------------------------------------- networks

    def _network(self, place: int, member: Member) -> Trained:
        """Train copies on the folds, for held-out outputs, and then on all rows; or all on the only fold."""
        folds, path = self.pool.folds, self.run.path / _FOLDER / f"{place + 1}-{member.model}"
        several = len(folds) > 1
        of_folds = [
            self._copy(member, Path(f"{path}-fold-{number}"), fold, f"fold {number} of {len(folds)}")
            for number, fold in enumerate(folds if several else (), 1)
        ]
        rows = Fold(torch.arange(len(self.pool.examples)), self.pool.validation) if several else folds[0]
        on = "on all rows, " if several else ""
        copies = [
            self._copy(member, Path(f"{path}-copy-{number}"), rows, f"{on}copy {number} of {member.copies}")
            for number in range(1, member.copies + 1)
        ]
        models = [run.load_model() for run in copies]
        outputs = self._held_out([run.load_model() for run in of_folds] if several else models)
        self._say_held_out(member, outputs)
        history = [epoch for run in (*of_folds, *copies) for epoch in run.metrics.history]
        steps, tokens = (sum(getattr(epoch, name) for epoch in history) for name in ("steps", "tokens"))
        return Trained(member, models, outputs, steps, tokens, sum(epoch.seconds for epoch in history))

    def _held_out(self, models: Sequence[nn.Module]) -> Tensor:
        """Return held-out outputs: of each fold those of its model, of one fold the mean of all models."""
        parts = [self.pool.examples.select(fold.held_out) for fold in self.pool.folds]
        if len(parts) == 1:
            return torch.stack([_outputs(model, parts[0]) for model in models]).mean(0)
        return self._in_order([_outputs(model, part) for model, part in zip(models, parts, strict=True)])

    def _copy(self, member: Member, path: Path, rows: Fold, name: str) -> Run:
        """Train a copy, or go on with its training, and return its run."""
        settings = self.prepared.recipe.settings()
        source = FixedSource(
            self.run.config.shape,
            self.pool.training(rows.training),
            self.pool.examples.select(rows.held_out),
            None,
            {**self.run.config.data, "rows": name},
        )
        settings = replace(
            settings,
            epochs=member.epochs,
            tokens_per_batch=member.tokens_per_batch,
            checkpoint_every_seconds=_SECONDS_BETWEEN_SAVES,
            seed=derived_seed(settings.seed, member.model, name),
            **member.settings,
        )
        what: dict[str, Any] = {"task": self.task, "model": member.spec, "settings": settings}
        run = Run.open(path) if path.exists() else Run.create(path, source=source, **what)
        result = fit(
            source,
            self.task,
            member.spec,
            settings,
            run,
            resume=True,
            progress="line" if self.progress else False,
            prepare_model=self.prepared.prepare_model,
            device=self.device,
            resumable=self.resumable,
        )
        if result.interrupted:
            raise Interrupted
        history = result.metrics.history
        loss = METRICS["loss"].text(history[-1].train["loss"])
        seconds = sum(epoch.seconds for epoch in history)
        self.say(f"{member.model}, {name}: {len(history)} epochs, training loss {loss}  ({seconds:.1f} s)")
        return run

    def _say_held_out(self, member: Member, outputs: Tensor) -> None:
        figures, _ = self.task.measure(nn.Identity(), outputs, self._targets())
        self.say(f"{member.model}, held-out rows: {self.task.describe(figures)}")

    # ------------------------------------------------------------ solved models

    def _solved(self, member: Member) -> Trained:
        """Solve for the weights on each fold, for held-out outputs, and with several folds on all rows."""
        began, several = perf_counter(), len(self.pool.folds) > 1
        solutions = [self._solution(member, fold.training, fold.held_out) for fold in self.pool.folds]
        outputs = self._held_out([model for model, _ in solutions])
        model = solutions[0][0]
        if several:
            logs = torch.tensor([penalty for _, penalty in solutions], dtype=torch.float64).log()
            every = torch.arange(len(self.pool.examples))
            model, _ = self._solution(member, every, self.pool.validation, float(logs.mean().exp()))
        self._say_held_out(member, outputs)
        trainings = len(solutions) + several
        tokens = self.pool.examples.inputs.layout.total * len(solutions)
        return Trained(member, [model], outputs, trainings, tokens, perf_counter() - began)

    def _solution(
        self, member: Member, rows: Tensor, held_out: Tensor, inverse_penalty: float | None = None
    ) -> tuple[SolvedModel, float]:
        training, validation = self.pool.training(rows), self.pool.examples.select(held_out)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.prepared.recipe.optimizer.seed, member.model))
            model = cast("SolvedModel", member.spec.build(self.run.config.shape, self.task))
            penalty = solve(model, self.task, training, validation, inverse_penalty)
        return model.eval(), penalty

    # ------------------------------------------------------------------- blend

    def finish(self, trained: Sequence[Trained]) -> None:
        """Fit the weights, and write the model and its metrics."""
        held_out = self.pool.examples.select(self.pool.held_out)
        outputs = [part.outputs for part in trained]
        priors = [member.prior for member in self.plan.members]
        weights = fitted_weights(self.task, outputs, held_out.targets, held_out.weights, priors)
        used = [part for part, weight in zip(trained, weights.tolist(), strict=True) if weight > 0]
        blend = Blend([part.models for part in used]).eval()
        blend.weights.copy_(weights[weights > 0])
        blended = sum(weight * output for weight, output in zip(weights, outputs, strict=True))
        task = self.task.tuned(blend, blended, held_out.targets)
        spec = ModelSpec.blend([(part.member.spec, len(part.models)) for part in used])
        self.run = self.run.with_model(spec)
        self.run.save_model(blend)
        self.run.write_json(NAME, self._outcome(trained, weights, blend, blended, task).to_json())
        self.run.save_metrics(self._metrics(trained, blend, blended, task))
        shutil.rmtree(self.run.path / _FOLDER, ignore_errors=True)

    def _metrics(self, trained: Sequence[Trained], blend: Blend, blended: Any, task: SequenceTask) -> Metrics:
        source, settings = self.prepared.source, self.run.config.settings
        history = tuple(self._as_epoch(number, part) for number, part in enumerate(trained, 1))
        of_validation = torch.isin(self.pool.held_out, self.pool.validation)
        targets = self._targets()
        validation = Score(
            *task.measure_with_intervals(blend, blended[of_validation], targets[of_validation])
        )
        test = None if source.test is None else Score(*task.assess(blend, source, source.test, settings))
        return Metrics(history, len(history), "epochs", validation, test, task.to_json())

    def _as_epoch(self, number: int, part: Trained) -> EpochMetrics:
        """Return the metrics of a model as those of an epoch: in a blend, models take the place of epochs."""
        blend, examples = Blend([part.models]).eval(), self.pool.examples
        training, _ = self.task.measure(blend, _outputs(blend, examples), examples.targets)
        validation, _ = self.task.measure(blend, part.outputs, self._targets())
        learning_rate = float(part.member.settings.get("learning_rate", 0.0))
        return EpochMetrics(
            number, part.steps, training, validation, learning_rate, part.tokens, part.seconds
        )

    def _outcome(
        self, trained: Sequence[Trained], weights: Tensor, blend: Blend, blended: Any, task: SequenceTask
    ) -> Outcome:
        targets = self._targets()
        members = tuple(
            MemberOutcome(
                part.member.model,
                len(part.models),
                self.task.measure(blend, part.outputs, targets)[0],
                weight,
                part.seconds,
            )
            for part, weight in zip(trained, weights.tolist(), strict=True)
        )
        figures, _ = task.measure(blend, blended, targets)
        return Outcome(members, figures, len(blended), self.plan.folds)

    def _targets(self) -> Any:
        return self.pool.examples.targets[self.pool.held_out]

    def _in_order(self, parts: Sequence[Any]) -> Tensor:
        """Return outputs of the folds in the order of the held-out examples."""
        place = torch.cat([fold.held_out for fold in self.pool.folds]).argsort()
        return torch.cat(list(parts))[place]


def _outputs(model: nn.Module, examples: Examples) -> Tensor:
    return cast("Tensor", model_outputs(model, examples))
