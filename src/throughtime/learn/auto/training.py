"""`fit_plan`: train the models of a plan on their folds, and blend them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime.baselines import solve
from throughtime.data.batches import derived_seed
from throughtime.data.fixed_source import FixedSource
from throughtime.learn.auto.outcome import NAME, MemberOutcome, Outcome
from throughtime.learn.auto.plan import Member, Plan
from throughtime.learn.auto.pool import Fold, Pool, pool_of
from throughtime.learn.auto.weights import fitted_weights
from throughtime.learn.prepared import Prepared
from throughtime.models import Blend
from throughtime.models.solved import SolvedModel
from throughtime.tasks import SequenceTask, model_outputs
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
    epochs : sequence of EpochMetrics
        The metrics of each copy.
    """

    member: Member
    models: Sequence[nn.Module]
    outputs: Tensor
    epochs: Sequence[EpochMetrics]

    @property
    def seconds(self) -> float:
        """Training time of all copies."""
        return sum(epoch.seconds for epoch in self.epochs)


def fit_plan(
    prepared: Prepared,
    plan: Plan,
    run: Run,
    *,
    resume: bool = False,
    resumable: bool = True,
    device: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> FitResult:
    """Train the models of a plan on the folds of the rows, fit the weights of their blend, and write the run.

    Copies are trained one after the other, each in a run of its own in the folder ``members`` of the run,
    which is removed at the end. A stopped training goes on where it stopped, with the same result.

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
    say : callable
        Receives a line on each trained copy.
    """
    settings = prepared.recipe.settings()
    require_same(run, prepared.source, prepared.task, run.config.model, settings)
    if resume and run.metrics.stopped is not None:
        return FitResult(run, run.metrics, interrupted=False, already_finished=True)
    training = _Training(prepared, plan, run, pool_of(prepared, plan.folds), resumable, device, say)
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
    say: Callable[[str], None]

    @property
    def task(self) -> SequenceTask:
        """The task of the run."""
        return cast("SequenceTask", self.run.config.task)

    def trained(self, place: int, member: Member) -> Trained:
        """Return a trained model of the plan."""
        return self._solved(member) if member.solved else self._copies(place, member)

    # ---------------------------------------------------------------- networks

    def _copies(self, place: int, member: Member) -> Trained:
        models, parts, epochs = [], [], []
        for number, fold in enumerate(self.pool.folds):
            model, metrics = self._copy(place, member, number, fold)
            epochs.append(self._noted(member, number, metrics))
            models.append(model)
            parts.append(model_outputs(model, self.pool.examples.select(fold.held_out)))
        return Trained(member, models, self._in_order(parts), epochs)

    def _copy(self, place: int, member: Member, number: int, fold: Fold) -> tuple[nn.Module, Metrics]:
        """Train a copy on a fold, or go on with its training."""
        path = self.run.path / _FOLDER / f"{place + 1}-{member.model}-{number + 1}"
        settings = self.prepared.recipe.settings()
        source = FixedSource(
            self.run.config.shape,
            self.pool.training(fold.training),
            self.pool.examples.select(fold.held_out),
            None,
            {**self.run.config.data, "fold": number, "folds": len(self.pool.folds)},
        )
        settings = replace(
            settings,
            epochs=member.epochs,
            tokens_per_batch=member.tokens_per_batch,
            checkpoint_every_seconds=_SECONDS_BETWEEN_SAVES,
            seed=derived_seed(settings.seed, member.model, number),
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
            progress=False,
            prepare_model=self.prepared.prepare_model,
            device=self.device,
            resumable=self.resumable,
        )
        if result.interrupted:
            raise Interrupted
        return run.load_model(), result.metrics

    def _noted(self, member: Member, number: int, metrics: Metrics) -> EpochMetrics:
        """Return the metrics of a copy as those of one epoch, and print them."""
        best = metrics.history[(metrics.best_epoch or 1) - 1]
        seconds = sum(epoch.seconds for epoch in metrics.history)
        copy = f", fold {number + 1} of {self.plan.folds}" if self.plan.folds > 1 else ""
        self.say(f"{member.model}{copy}: held-out {self.task.describe(best.validation)}  ({seconds:.1f} s)")
        return replace(
            best,
            steps=sum(epoch.steps for epoch in metrics.history),
            tokens=sum(epoch.tokens for epoch in metrics.history),
            seconds=seconds,
        )

    # ------------------------------------------------------------ solved models

    def _solved(self, member: Member) -> Trained:
        """Solve for the weights on each fold, for held-out outputs, and on all rows."""
        began, parts, penalties = perf_counter(), [], []
        every = torch.arange(len(self.pool.examples))
        for fold in self.pool.folds:
            model, penalty = self._solution(member, fold.training, fold.held_out)
            parts.append(model_outputs(model, self.pool.examples.select(fold.held_out)))
            penalties.append(penalty)
        mean = float(torch.tensor(penalties).double().log().mean().exp())
        model, _ = self._solution(member, every, self.pool.validation, mean)
        outputs = self._in_order(parts)
        validation, _ = self.task.measure(model, outputs, self._targets())
        training, _ = self.task.measure(
            model, model_outputs(model, self.pool.examples), self.pool.examples.targets
        )
        seconds = perf_counter() - began
        self.say(f"{member.model}: held-out {self.task.describe(validation)}  ({seconds:.1f} s)")
        tokens = self.pool.examples.inputs.layout.total * (len(parts) + 1)
        epoch = EpochMetrics(1, len(parts) + 1, training, validation, 0.0, tokens, seconds)
        return Trained(member, [model], outputs, [epoch])

    def _solution(
        self, member: Member, rows: Tensor, held_out: Tensor, inverse_penalty: float | None = None
    ) -> tuple[SolvedModel, float]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.prepared.recipe.optimizer.seed, member.model))
            model = cast("SolvedModel", member.spec.build(self.run.config.shape, self.task))
        training, validation = self.pool.training(rows), self.pool.examples.select(held_out)
        penalty = solve(model, self.task, training, validation, inverse_penalty)
        return model.eval(), penalty

    # ------------------------------------------------------------------- blend

    def finish(self, trained: Sequence[Trained]) -> None:
        """Fit the weights, and write the model and its metrics."""
        held_out = self.pool.examples.select(self.pool.held_out)
        outputs = [part.outputs for part in trained]
        weights = fitted_weights(self.task, outputs, held_out.targets, held_out.weights)
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
        copies = [epoch for part in trained for epoch in part.epochs]
        history = tuple(replace(epoch, epoch=number) for number, epoch in enumerate(copies, 1))
        of_validation = torch.isin(self.pool.held_out, self.pool.validation)
        targets = self._targets()
        validation = Score(
            *task.measure_with_intervals(blend, blended[of_validation], targets[of_validation])
        )
        test = None if source.test is None else Score(*task.assess(blend, source, source.test, settings))
        return Metrics(history, len(history), "epochs", validation, test, task.to_json())

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
