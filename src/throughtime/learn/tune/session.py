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
from throughtime.learn.tune.callback import TrialCallback
from throughtime.learn.tune.plan import NextTrial
from throughtime.learn.tune.space import Space
from throughtime.learn.tune.study import StudyFile, quiet_optuna
from throughtime.learn.tune.trials import Outcome, State, Trial, UserAttributes
from throughtime.training import EpochMetrics, best_epoch, without_flush

_RANDOM_TRIALS = 6
"""Number of trials before TPE begins."""
_NEW_BEFORE_PRUNING, _REPEATED_BEFORE_PRUNING = 4, 2
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

    def run(self, upcoming: NextTrial, deadline: float | None) -> Trial:
        """Train a trial and add it to the study.

        Raises
        ------
        OutOfTime
            At the deadline; the trial is not added.
        KeyboardInterrupt
            After Ctrl-C; the trial is not added.
        """
        asked, memory = self._asked(upcoming)
        self.space.suggest(asked)
        model, options = self.space.chosen(asked.params)
        callback = TrialCallback(asked, self.metric, deadline)
        begin = time.monotonic()
        state = self._trained(self.recipe(model, options, upcoming.epochs), callback)
        outcome = self._outcome(state, callback.history, time.monotonic() - begin)
        repeats = None if upcoming.repeats is None else upcoming.repeats.number
        UserAttributes(upcoming.epochs, repeats, outcome).store(asked)
        if outcome.state == "complete":
            memory.tell(asked, outcome.value)
        else:
            memory.tell(asked, state=TrialState.PRUNED)
        self.study.add(memory.get_trials(deepcopy=False)[-1])
        return self.trials()[-1]

    def _asked(self, upcoming: NextTrial) -> tuple[optuna.Trial, optuna.Study]:
        """Return the next trial of Optuna, in a study of the trials with as many epochs."""
        stored = self.study.trials()
        alike = [trial for trial in stored if UserAttributes.of(trial).epochs == upcoming.epochs]
        new = sum(UserAttributes.of(trial).repeats is None for trial in stored)
        seed = derived_seed("tune", self.prepared.recipe.optimizer.seed, new)
        with quiet_optuna():
            memory = optuna.create_study(
                direction=self.study.direction, sampler=_sampler(seed), pruner=_pruner(upcoming)
            )
        memory.add_trials(alike)
        if upcoming.repeats is not None:
            memory.enqueue_trial(dict(stored[upcoming.repeats.number].params))
        elif not alike:
            memory.enqueue_trial(self.space.defaults())
        return memory.ask(), memory

    def _trained(self, recipe: Recipe, callback: TrialCallback) -> State:
        prepared = replace(self.prepared, recipe=recipe)
        prepared = replace(prepared, recipe=automatic_settings(prepared))
        how: dict[str, Any] = {"progress": False, "resumable": False, "device": self.device}
        try:
            with _temporary(self.folder), without_flush():
                fitted = fit_prepared(prepared, self.folder, self.data, callbacks=[callback], **how)
        except optuna.TrialPruned:
            return "pruned"
        except NotFiniteError:
            return "not finite"
        if fitted.result.interrupted:
            raise KeyboardInterrupt
        return "complete"

    def _outcome(self, state: State, history: list[EpochMetrics], seconds: float) -> Outcome:
        best = best_epoch(history, self.metric)
        if best is None:
            return Outcome(state, math.nan, math.nan, None, 0, seconds)
        validation = history[best - 1].validation
        value = validation[self.metric]
        undefined = state == "complete" and math.isnan(value)
        known: State = "not finite" if undefined else state
        return Outcome(known, value, validation["loss"], best, len(history), seconds)


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        seed=seed % 2**32, n_startup_trials=_RANDOM_TRIALS, multivariate=True, constant_liar=False
    )


def _pruner(upcoming: NextTrial) -> optuna.pruners.BasePruner:
    """Prune a trial whose best epoch is worse than the median of the others at its epoch."""
    unpruned = _NEW_BEFORE_PRUNING if upcoming.repeats is None else _REPEATED_BEFORE_PRUNING
    return optuna.pruners.MedianPruner(
        n_startup_trials=unpruned, n_warmup_steps=max(2, 1 + upcoming.epochs // 4)
    )


@contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Delete a folder before and after its use."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
