"""`fit`: train a model, or resume its training. Imports Lightning when it is called."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from throughtime._fields import short
from throughtime.data.examples import Source
from throughtime.errors import RunError
from throughtime.tasks import Task
from throughtime.training._advice import ELSEWHERE, RESUME_OR_ELSEWHERE
from throughtime.training._how import Surroundings
from throughtime.training._lock import Hold, only_training
from throughtime.training._metrics import Metrics, Score
from throughtime.training._run import Run, RunConfig
from throughtime.training._settings import ModelSpec, Settings
from throughtime.training.processes import join, process, wait_for_all

if TYPE_CHECKING:
    import pytorch_lightning as pl


@dataclass(frozen=True)
class FitResult:
    """Result of `fit`."""

    run: Run
    metrics: Metrics
    """All metrics of the run, including those before it was resumed."""
    interrupted: bool
    """Whether Ctrl-C (or SIGTERM) stopped it; the state is saved and ``resume`` continues from there."""
    already_finished: bool
    """Whether the training was already finished."""


def fit(
    source: Source,
    task: Task,
    model: ModelSpec,
    settings: Settings,
    run: Run,
    *,
    resume: bool = False,
    progress: bool | Literal["line"] = True,
    watch_every: int = 0,
    prepare_model: Callable[[nn.Module], None] | None = None,
    device: str | None = None,
    logger: str | None = None,
    resumable: bool = True,
    callbacks: "Sequence[pl.Callback]" = (),
) -> FitResult:
    """Train a model and write all results into a run.

    On one machine and with the same number of threads, equal arguments give bit for bit equal weights, even
    if the training is stopped and resumed at any step. Resuming with another number of threads or processes,
    instruction set or package version warns, and is recorded in ``environment.json`` of the run.

    A model whose weights are solved for (`throughtime.models.NamedModel.solved`) has one epoch without steps:
    settings other than the seed and the tokens per batch have no effect, and if it is stopped, it is solved
    for again.

    Ctrl-C stops the training after the current step (or validation) and saves the state. A second Ctrl-C
    stops it immediately; resuming then repeats the steps since the last save.

    Parameters
    ----------
    source : Source
        Data for training, validation and test. All can be trained in several processes started by torchrun.
    task : Task
        What the model is trained for.
    model : ModelSpec
        The architecture.
    settings : Settings
        Training settings.
    run : Run
        Created with the same source, task, model and settings.
    resume : bool
        Whether to continue a run that has started. A new run is started; a finished run is not changed.
    progress : bool or "line"
        Whether to print the progress; "line" shows the live line of a terminal, but no line for each epoch.
    watch_every : int
        Record gradient flow every so many steps in ``gradients.jsonl`` of the run; 0 turns it off. The model
        must have a recurrent layer. The weights are not affected.
    prepare_model : callable, optional
        Called with the new model before the training, also of a resumed run: sets pretrained weights, or
        freezes some.
    device : str, optional
        "cpu" or "cuda"; by default "cuda" if there is one.
    logger : str, optional
        Lightning logger that also receives the metrics: "tensorboard", "csv" or "mlflow".
    resumable : bool
        Whether to save the state, so that a stopped training can be resumed; False saves the time.
    callbacks : sequence of Lightning callbacks
        Called after those that write the run, such as `throughtime.training.callbacks.AfterEpoch`; what one
        raises ends the training.

    Returns
    -------
    FitResult
        ``result.run.load_model()`` returns the model that was best on validation.

    Raises
    ------
    RunError
        If the run has started and ``resume`` is False, was created with other arguments, is damaged, cannot
        be written, is deleted or renamed during the training, or is being trained by another process.
    DataError
        If there is no training or validation data, or a value is infinite or NaN.
    NotFiniteError
        If the loss becomes infinite or NaN; the best model so far is kept.
    UnsupportedError
        If a device or a logger is not there, or the model is solved for and gradients, a logger or "cuda" are
        asked for.
    """
    require_same(run, source, task, model, settings)
    settings.monitored(task)
    before = run.metrics
    if before.stopped is not None and resume:
        return FitResult(run, before, interrupted=False, already_finished=True)
    task.require_usable(source.validation, "validation examples")
    if source.test is not None:
        task.require_usable(source.test, "test examples")
    # With several processes, the first one writes.
    with nullcontext(Hold(run.path)) if process() else only_training(run.path) as hold:
        if not resume and (run.metrics.history or run.state_path.exists()):
            raise RunError(f"{run.path} has already started training; {RESUME_OR_ELSEWHERE}")
        if run.metrics.best_epoch is not None and not run.has_model:
            raise RunError(
                f"{run.path}: model.safetensors with the best weights so far (epoch "
                f"{run.metrics.best_epoch}) is missing; restore the file, or {ELSEWHERE}"
            )
        if run.has_model:
            run.load_model()  # report damaged weights now, not at the end of the training
        join()
        how = Surroundings(
            progress=progress,
            watch_every=watch_every,
            prepare_model=prepare_model,
            device=device,
            logger=logger,
            resumable=resumable,
            callbacks=callbacks,
        )
        return _trained(source, run, hold, how)


def _trained(source: Source, run: Run, hold: Hold, how: Surroundings) -> FitResult:
    solved = run.config.model.solved
    try:
        ended = _solve(source, run, hold, how) if solved else _train(source, run, hold, how)
        if ended and not process():
            final = _final(run, source)
            final = replace(final, stopped="epochs") if solved else final
            hold.require_there()
            run.save_metrics(final)
        wait_for_all()
    except KeyboardInterrupt:  # after the last epoch; its state is saved
        ended = False
    return FitResult(run, run.metrics, interrupted=not ended, already_finished=False)


def _train(source: Source, run: Run, hold: Hold, how: Surroundings) -> bool:
    from throughtime.training._engine import train

    return train(source, run, hold, how)


def _solve(source: Source, run: Run, hold: Hold, how: Surroundings) -> bool:
    from throughtime.training._solved import solve_run

    return solve_run(source, run, hold, how)


def _final(run: Run, source: Source) -> Metrics:
    """Return the metrics of a finished training, with the scores of the best model."""
    metrics, settings, model = run.metrics, run.config.settings, run.load_model()
    task, validation = run.config.task.tune(model, source, source.validation, settings)
    full = len(metrics.history) == settings.epochs
    stopped: Literal["epochs", "patience"] = "epochs" if full else "patience"
    test = None if source.test is None else Score(*task.assess(model, source, source.test, settings))
    return Metrics(metrics.history, metrics.best_epoch, stopped, Score(*validation), test, task.to_json())


def require_same(run: Run, source: Source, task: Task, model: ModelSpec, settings: Settings) -> None:
    """Check that a run was created with this source, task, model and settings.

    Raises
    ------
    RunError
        If not; the message names the first difference.
    """
    now = RunConfig(task, model, source.shape, run.config.recipe, source.describe(), settings)
    begun = run.config.to_json()
    for place, was, has in _differences(begun, _as_json(now.to_json()), ""):
        raise RunError(
            f"{run.path} was created with {place} = {was}, now it is {has}; "
            f"give the same model, settings and data, or {ELSEWHERE}"
        )


def _as_json(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _differences(was: Any, has: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place and both values of each difference between two JSON values."""
    if isinstance(was, dict) and isinstance(has, dict):
        for key in {**was, **has}:
            yield from _differences(was.get(key), has.get(key), f"{place}.{key}" if place else key)
    elif was != has:
        yield place, short(was), short(has)
