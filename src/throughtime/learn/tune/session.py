"""`Session`: trains one trial after another and adds each to the study. Importing it imports Optuna."""

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from throughtime.data.batches import derived_seed
from throughtime.errors import NotFiniteError
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import fit_prepared
from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.learn.tune.plan import Step
from throughtime.learn.tune.space import Space
from throughtime.learn.tune.study import StudyFile, quiet_optuna
from throughtime.learn.tune.trials import End, Note, Outcome, Trial
from throughtime.learn.tune.watch import TrialWatch
from throughtime.training import EpochMetrics, best_epoch, without_flush

_RANDOM_TRIALS = 6
"""Number of trials before TPE begins."""
_NEVER_PRUNED, _NEVER_PRUNED_AGAIN = 4, 2
"""Number of complete trials, new ones or repeated ones, before others are pruned."""


@dataclass(frozen=True)
class Session:
    """What all trials of a search share.

    Everything that decides a trial follows from the trials before it, the data, the options, and the seed.
    So a search that was killed has the same trials as one that was not.

    Parameters
    ----------
    prepared : Prepared
        The data.
    data : Any
        What was prepared.
    options : mapping
        Options of the model that the user has given.
    space : Space
        What is searched.
    metric : str
        The monitored metric.
    study : StudyFile
        The finished trials.
    folder : Path
        Folder for the run of a trial, which is deleted when it has ended.
    device : str or None
        See `throughtime.training.fit`.
    """

    prepared: Prepared
    data: Any
    options: Mapping[str, Any]
    space: Space
    metric: str
    study: StudyFile
    folder: Path
    device: str | None = None

    @property
    def data_name(self) -> str:
        """What the command calls the data."""
        return str(self.data) if isinstance(self.data, str | Path) else "DATA"

    def trials(self) -> list[Trial]:
        """Return the finished trials."""
        return self.study.trials_in(self.space)

    def recipe(self, model: str, options: Mapping[str, Any], epochs: int) -> Recipe:
        """Return the recipe of a trial."""
        base = replace(self.prepared.recipe, model=model, model_options=dict(self.options))
        return base.changed(**options, epochs=epochs)

    def run(self, step: Step, deadline: float | None) -> Trial:
        """Train a trial and add it to the study.

        Raises
        ------
        OutOfTime
            At the deadline; the trial is not added.
        KeyboardInterrupt
            After Ctrl-C; the trial is not added.
        """
        asked, memory = self._asked(step)
        self.space.suggest(asked)
        model, options = self.space.chosen(asked.params)
        watch = TrialWatch(asked, self.metric, deadline)
        begin = time.monotonic()
        end = self._trained(self.recipe(model, options, step.epochs), watch)
        outcome = self._outcome(end, watch.history, time.monotonic() - begin)
        note = Note(step.epochs, None if step.again is None else step.again.number, outcome)
        asked.set_user_attr("throughtime", note.to_json())
        complete = outcome.end == "complete"
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        memory.tell(asked, outcome.value if complete else None, state)
        self.study.add(memory.get_trials(deepcopy=False)[-1])
        return self.trials()[-1]

    def _asked(self, step: Step) -> tuple[optuna.Trial, optuna.Study]:
        """Return the next trial of Optuna, in a study of the trials with as many epochs."""
        stored = self.study.trials()
        alike = [trial for trial in stored if Note.of(trial).epochs == step.epochs]
        new = sum(Note.of(trial).again is None for trial in stored)
        seed = derived_seed("tune", self.prepared.recipe.optimizer.seed, new)
        with quiet_optuna():
            memory = optuna.create_study(
                direction=self.study.direction, sampler=_sampler(seed), pruner=_pruner(step)
            )
        memory.add_trials(alike)
        if step.again is not None:
            memory.enqueue_trial(dict(stored[step.again.number].params))
        elif not alike:
            memory.enqueue_trial(self.space.defaults())
        return memory.ask(), memory

    def _trained(self, recipe: Recipe, watch: TrialWatch) -> End:
        prepared = replace(self.prepared, recipe=recipe)
        prepared = replace(prepared, recipe=automatic_settings(prepared))
        how: dict[str, Any] = {"progress": False, "resumable": False, "device": self.device}
        try:
            with _temporary(self.folder), without_flush():
                fitted = fit_prepared(prepared, self.folder, self.data, callbacks=[watch], **how)
        except optuna.TrialPruned:
            return "pruned"
        except NotFiniteError:
            return "not finite"
        if fitted.result.interrupted:
            raise KeyboardInterrupt
        return "complete"

    def _outcome(self, end: End, history: list[EpochMetrics], seconds: float) -> Outcome:
        best = best_epoch(history, self.metric)
        if best is None:
            return Outcome(end, math.nan, math.nan, None, 0, seconds)
        validation = history[best - 1].validation
        value = validation[self.metric]
        undefined = end == "complete" and math.isnan(value)
        shown: End = "not finite" if undefined else end
        return Outcome(shown, value, validation["loss"], best, len(history), seconds)


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        seed=seed % 2**32, n_startup_trials=_RANDOM_TRIALS, multivariate=True, constant_liar=False
    )


def _pruner(step: Step) -> optuna.pruners.BasePruner:
    """Prune a trial whose best epoch is worse than the median of the others at its epoch."""
    kept = _NEVER_PRUNED if step.again is None else _NEVER_PRUNED_AGAIN
    return optuna.pruners.MedianPruner(n_startup_trials=kept, n_warmup_steps=max(2, 1 + step.epochs // 4))


@contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Delete a folder before and after its use."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
