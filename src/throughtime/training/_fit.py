"""`fit`: a training from its beginning, or from where it stopped, to its end. Imports Lightning only then."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from throughtime.data.examples import Examples, Source
from throughtime.errors import DataError, RunError
from throughtime.training._evaluation import evaluate
from throughtime.training._metrics import Metrics, Score
from throughtime.training._run import Run, RunConfig
from throughtime.training._settings import ModelSpec, Settings


@dataclass(frozen=True)
class FitResult:
    """How a call of `fit` ended."""

    run: Run
    metrics: Metrics
    """All figures, those of earlier sittings included."""
    interrupted: bool
    """Whether Ctrl-C (or SIGTERM) ended it; then the state is saved and ``resume`` goes on from there."""
    already_finished: bool
    """Whether there was nothing left to do."""


def fit(
    source: Source,
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
    threads, however often they are stopped and resumed, and wherever that happens.

    Ctrl-C ends it after the current step (during validation: after that) with the state saved; pressed
    again it ends at once, and resuming repeats what was done since the last save.

    Parameters
    ----------
    source : Source
        What to train, validate and test on.
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
        If the run has begun and ``resume`` is not set, was made with other arguments, is damaged, or
        cannot be written.
    DataError
        If there is nothing to train or validate on.
    NotFiniteError
        If the loss becomes infinite or not a number; the best model so far is kept.
    """
    _require_same(run, _config(source, model, settings, run))
    before = run.metrics
    if before.stopped is not None and resume:
        return FitResult(run, before, interrupted=False, already_finished=True)
    if not resume and (before.history or run.state_path.exists()):
        raise RunError(f"{run.path} has begun already; go on with it (--resume) or choose another --out")
    if len(source.validation) == 0:
        raise DataError("there are no validation examples; give more data, or another split")
    from throughtime.training._engine import train

    try:
        ended = train(source, run, progress=progress, watch_every=watch_every)
        if ended:
            run.save_metrics(_final(run, source.test))
    except KeyboardInterrupt:  # after the last epoch, whose state is saved
        ended = False
    return FitResult(run, run.metrics, interrupted=not ended, already_finished=False)


def _final(run: Run, test: Examples | None) -> Metrics:
    """Return the figures of a training that has ended, with the best model's on the test examples."""
    metrics = run.metrics
    score = None
    if test is not None and len(test):
        evaluation = evaluate(
            run.load_model(), test, tokens_per_batch=4 * run.config.settings.tokens_per_batch
        )
        score = Score(evaluation.loss, evaluation.accuracy, len(test))
    full = len(metrics.history) == run.config.settings.epochs
    stopped: Literal["epochs", "patience"] = "epochs" if full else "patience"
    return Metrics(metrics.history, metrics.best_epoch, stopped, score)


def _config(source: Source, model: ModelSpec, settings: Settings, run: Run) -> RunConfig:
    classes = tuple(source.classes)
    return RunConfig(run.config.task, model, classes, source.vocabulary_size, source.describe(), settings)


def _require_same(run: Run, now: RunConfig) -> None:
    begun = run.config.to_json()
    for place, was, has in _differences(begun, _as_json(now.to_json()), ""):
        raise RunError(
            f"{run.path} was made with {place} = {was}, now it is {has}; "
            "give the same model, settings and data, or choose another --out"
        )


def _as_json(content: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(content))


def _differences(was: Any, has: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where two JSON values differ, and in what."""
    if isinstance(was, dict) and isinstance(has, dict):
        for key in {**was, **has}:
            yield from _differences(was.get(key), has.get(key), f"{place}.{key}" if place else key)
    elif was != has:
        yield place, _short(was), _short(has)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
