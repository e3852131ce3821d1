"""`fit`: a training from its beginning, or from where it stopped, to its end. Imports Lightning only then."""

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from throughtime._fields import short
from throughtime.data.examples import Examples, Source
from throughtime.data.finite import require_finite
from throughtime.data.next_step import NextStepSource
from throughtime.errors import DataError, RunError
from throughtime.models.next_step import NextStep
from throughtime.training._advice import ELSEWHERE, RESUME_OR_ELSEWHERE
from throughtime.training._evaluation import evaluate
from throughtime.training._lock import Hold, only_training
from throughtime.training._metrics import Metrics, Score
from throughtime.training._next_step_figures import evaluate_next_step
from throughtime.training._run import Run, RunConfig
from throughtime.training._settings import ModelSpec, Settings
from throughtime.training.processes import join, process, require_one, wait_for_all


@dataclass(frozen=True)
class FitResult:
    """How a call of `fit` ended."""

    run: Run
    metrics: Metrics
    """All figures, those of earlier runs of the command included."""
    interrupted: bool
    """Whether Ctrl-C (or SIGTERM) ended it; then the state is saved and ``resume`` goes on from there."""
    already_finished: bool
    """Whether there was nothing left to do."""


def fit(
    source: Source | NextStepSource,
    model: ModelSpec,
    settings: Settings,
    run: Run,
    *,
    resume: bool = False,
    progress: bool = True,
    watch_every: int = 0,
) -> FitResult:
    """Train a model and write all that comes of it into a run.

    Trainings of equal arguments give equal weights, bit for bit, on one machine with one number of
    threads, however often they are stopped and resumed, and wherever that happens. Resuming with
    another number of threads or processes, instruction set or package version warns, and is recorded in the
    run's ``environment.json``.

    Ctrl-C ends it after the current step (during validation: after that) with the state saved; pressed
    again it ends at once, and resuming repeats what was done since the last save.

    Parameters
    ----------
    source : Source or NextStepSource
        What to train, validate and test on: labelled sequences, or a text or frames of which each step is to
        be predicted. The latter may be trained in several processes that torchrun starts.
    model : ModelSpec
        The architecture.
    settings : Settings
        How to train it.
    run : Run
        Made with the same three.
    resume : bool
        Whether to go on with a run that has begun. One that has not begins; one that has finished is
        left as it is.
    progress : bool
        Whether to show how it goes, on standard output.
    watch_every : int
        Steps from one record of the gradients to the next, in ``gradients.jsonl`` of the run; 0 for none. The
        model must have a recurrent layer. Weights come out the same.

    Returns
    -------
    FitResult
        ``result.run.load_model()`` gives the model that was best on validation.

    Raises
    ------
    RunError
        If the run has begun and ``resume`` is not set, was made with other arguments, is damaged, cannot be
        written, is deleted or renamed meanwhile, or if another process is training there.
    DataError
        If there is nothing to train or validate on, or a value is infinite or not a number.
    NotFiniteError
        If the loss becomes infinite or not a number; the best model so far is kept.
    """
    _require_same(run, _config(source, model, settings, run))
    before = run.metrics
    if before.stopped is not None and resume:
        return FitResult(run, before, interrupted=False, already_finished=True)
    if not isinstance(source, NextStepSource):
        require_one("the training of a classifier")
    if len(source.validation) == 0:
        raise DataError("there are no validation examples; give more data, or another split")
    _require_finite(source)
    # Of several processes that train together, the first one writes.
    with nullcontext(Hold(run.path)) if process() else only_training(run.path) as hold:
        if not resume and (run.metrics.history or run.state_path.exists()):
            raise RunError(f"{run.path} has begun already; {RESUME_OR_ELSEWHERE}")
        if run.metrics.best_epoch is not None and not run.has_model:
            raise RunError(
                f"{run.path}: model.safetensors is missing, with the best weights so far (of epoch "
                f"{run.metrics.best_epoch}); restore the file, or {ELSEWHERE}"
            )
        if run.has_model:
            run.load_model()  # now, not when the training is over: are the best weights so far damaged?
        join()
        return _trained(source, run, hold, progress=progress, watch_every=watch_every)


def _trained(
    source: Source | NextStepSource, run: Run, hold: Hold, *, progress: bool, watch_every: int
) -> FitResult:
    from throughtime.training._engine import train

    try:
        ended = train(source, run, hold, progress=progress, watch_every=watch_every)
        if ended and not process():
            final = _final(run, source)
            hold.require_there()
            run.save_metrics(final)
        wait_for_all()
    except KeyboardInterrupt:  # after the last epoch, whose state is saved
        ended = False
    return FitResult(run, run.metrics, interrupted=not ended, already_finished=False)


def _require_finite(source: Source | NextStepSource) -> None:
    """Check what is held out, and a text or frames; of examples, each epoch's are when they are drawn."""
    if isinstance(source, NextStepSource):
        parts = {"training": source.training, "validation": source.validation, "test": source.test}
        for name, part in parts.items():
            if part is not None:
                require_finite(part, f"the {name} sequences")
        return
    require_finite(source.validation.tokens, "the validation examples")
    if source.test is not None:
        require_finite(source.test.tokens, "the test examples")


def _final(run: Run, source: Source | NextStepSource) -> Metrics:
    """Return the figures of a training that has ended, with the best model's on the test part."""
    metrics = run.metrics
    score = None
    if isinstance(source, NextStepSource):
        model = run.load_model()
        if source.test is not None and isinstance(model, NextStep):
            streams = run.config.settings.streams or 1
            score = evaluate_next_step(model, source, source.test, streams=streams)
    elif source.test is not None and len(source.test):
        score = _tested(run, source.test)
    full = len(metrics.history) == run.config.settings.epochs
    stopped: Literal["epochs", "patience"] = "epochs" if full else "patience"
    return Metrics(metrics.history, metrics.best_epoch, stopped, score)


def _tested(run: Run, test: Examples) -> Score:
    settings = run.config.settings
    return evaluate(run.load_model(), test, tokens_per_batch=4 * settings.tokens_per_batch)


def _config(source: Source | NextStepSource, model: ModelSpec, settings: Settings, run: Run) -> RunConfig:
    classes = tuple(source.classes)
    return RunConfig(run.config.task, model, classes, source.vocabulary_size, source.describe(), settings)


def _require_same(run: Run, now: RunConfig) -> None:
    begun = run.config.to_json()
    for place, was, has in _differences(begun, _as_json(now.to_json()), ""):
        raise RunError(
            f"{run.path} was made with {place} = {was}, now it is {has}; "
            f"give the same model, settings and data, or {ELSEWHERE}"
        )


def _as_json(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _differences(was: Any, has: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where two JSON values differ, and in what."""
    if isinstance(was, dict) and isinstance(has, dict):
        for key in {**was, **has}:
            yield from _differences(was.get(key), has.get(key), f"{place}.{key}" if place else key)
    elif was != has:
        yield place, short(was), short(has)
