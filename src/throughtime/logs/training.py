"""`train_logs`: train a run on raw log files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.data.table import Table
from throughtime.errors import RunError
from throughtime.learn import Predictor, Recipe
from throughtime.learn.automatic import automatic_batch, automatic_epochs, automatic_settings
from throughtime.learn.fitting import created_run, fit_prepared, prepare
from throughtime.learn.prepared import Prepared
from throughtime.logs.conformal import Calibration
from throughtime.logs.drain import Drain
from throughtime.logs.events import Events, framing_at, read_events
from throughtime.logs.files import LogFile
from throughtime.logs.frequency import KindCounts, kinds_of
from throughtime.logs.further import further_prepared
from throughtime.logs.learned import LearnedValues, learned_values
from throughtime.logs.model import CALIBRATION, COLUMN, NAME, VALUES, LogModel, LogSettings, Scorer, as_table
from throughtime.logs.options import LogOptions
from throughtime.logs.sequences import Sequences, automatic_length, longest_pause
from throughtime.training import FitResult, Run

MODEL: Mapping[str, Any] = {
    "cell": "lstm",
    "embedding_size": 64,
    "hidden_size": 64,
    "num_layers": 1,
    "dropout": 0.0,
    "learning_rate": 0.01,
    "test": 0.2,
}
"""Defaults of the model of logs where they differ from those of task "anomaly", chosen by the loss on
held-out normal sessions."""

_EPOCHS = 40
"""Number of epochs, except for small and large logs."""
_MOST_STEPS = 4_000_000
"""Maximum number of records of a large log, over all epochs."""
_FEWEST_EPOCHS = 4
_LARGE_BATCH = 2048
"""Number of records in a batch of a large log, one with at least ``_BATCHES`` such batches."""
_BATCHES = 128


@dataclass(frozen=True)
class TrainingLog:
    """A log to train on.

    Parameters
    ----------
    settings : LogSettings
        How it was read, and its templates.
    events : Events
        Its records; events are numbers of templates.
    sequences : Sequences
        Its sessions.
    """

    settings: LogSettings
    events: Events
    sequences: Sequences


@dataclass(frozen=True)
class TrainedLog:
    """Result of `train_logs`.

    Parameters
    ----------
    log : TrainingLog
        The training log.
    result : FitResult
        The run and its metrics.
    model : LogModel or None
        The model; None if the training was stopped.
    """

    log: TrainingLog
    result: FitResult
    model: LogModel | None


def read_training_log(
    files: Sequence[LogFile], options: LogOptions, start: LogModel | None = None
) -> TrainingLog:
    """Read log files, and find their templates and sessions.

    Parameters
    ----------
    files : sequence of LogFile
        From `throughtime.logs.files.log_files`.
    options : LogOptions
        How they are read.
    start : LogModel, optional
        A trained model, whose options, templates and lengths are used; new templates are appended to its
        templates.

    Raises
    ------
    DataError
        If the files cannot be read or an option does not apply to any record.
    """
    if start is not None:
        return _further_log(files, start)
    drain = Drain(options.drain)
    events = read_events(files, options, drain.learn)
    templates, of_event = drain.result()
    events = replace(events, event=of_event[events.event])
    length = automatic_length(events, options.sessions.length)
    framing = framing_at(files[0], options.reading.encoding)
    settings = LogSettings(options, length, framing, longest_pause(events), templates.all)
    return TrainingLog(settings, events, settings.sequences(events))


def _further_log(files: Sequence[LogFile], start: LogModel) -> TrainingLog:
    """Read log files with the templates of a model, and new templates for lines that match none of them."""
    old, drain = start.settings, Drain(start.settings.options.drain)

    def event_of(level: str, message: str) -> int:
        known = start.templates.match(level, message)
        return drain.learn(level, message) + len(old.templates) if known is None else known

    events = read_events(files, old.options, event_of)
    new, of_event = drain.result()
    numbers = np.concatenate([np.arange(len(old.templates)), of_event + len(old.templates)])
    events = replace(events, event=numbers[events.event])
    counts = np.bincount(events.event, minlength=len(old.templates)).tolist()
    known = (
        replace(template, count=template.count + count)
        for template, count in zip(old.templates, counts, strict=False)
    )
    settings = replace(old, templates=(*known, *new.all))
    return TrainingLog(settings, events, settings.sequences(events))


def log_recipe(recipe_options: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a model of logs from options as texts or values."""
    return Recipe.of("anomaly", tokens=(COLUMN,), **MODEL).parsed(recipe_options)


def train_logs(
    log: TrainingLog,
    out: str | Path,
    recipe: Recipe,
    *,
    start: LogModel | None = None,
    resume: bool = False,
    progress: bool = True,
    device: str | None = None,
) -> TrainedLog:
    """Train a model of the next event on the sessions of a log, which are assumed to be normal.

    Parameters
    ----------
    log : TrainingLog
        From `read_training_log`.
    out : path
        Folder of the run.
    recipe : Recipe
        From `log_recipe`. The fraction ``test`` of the sessions is held out for the p-values of ``scan``.
    start : LogModel, optional
        The model that was passed to `read_training_log`; training starts from its weights.
    resume : bool
        Whether to continue the run in ``out``.
    progress : bool
        Whether to print the progress.
    device : str, optional
        "cpu" or "cuda".

    Raises
    ------
    DataError
        If there are too few sessions.
    RunError
        If the folder cannot be used.
    """
    path = Path(out)
    table = as_table(log.sequences.lists(log.events.event))
    prepared = prepared_log(recipe, table, start)
    run = Run.open(path) if resume else created_run(path, prepared, prepared.recipe.spec("tokens"), None)
    if run.read_json(NAME) is None:
        run.write_json(NAME, log.settings.to_json())
    fitted = fit_prepared(prepared, path, None, resume=True, progress=progress, device=device)
    if fitted.result.interrupted or fitted.predictor is None:
        return TrainedLog(log, fitted.result, None)
    trained, held_out = _parts(prepared, log)
    learned = learned_values(log, trained, held_out, start)
    calibration = _calibration(fitted.predictor, held_out, log, learned)
    fitted.result.run.write_json(VALUES, learned.values.to_json())
    fitted.result.run.write_json(CALIBRATION, calibration.to_json())
    model = LogModel(fitted.result.run, log.settings, fitted.predictor, calibration, learned.values)
    return TrainedLog(log, fitted.result, model)


def prepared_log(recipe: Recipe, table: Table, start: LogModel | None = None) -> Prepared:
    """Return the sessions of a log as they are trained on, and the recipe with its "auto" settings chosen.

    There are 40 epochs, or as many as 400 updates of the weights take. Large logs have larger batches and
    fewer epochs.
    """
    prepared = prepare(recipe, table) if start is None else further_prepared(start, recipe, table)
    return replace(prepared, recipe=_settings(prepared))


def _settings(prepared: Prepared) -> Recipe:
    recipe, lengths = prepared.recipe, prepared.source.training(0).lengths
    steps = int(lengths.sum())
    tokens, epochs = recipe.batches.tokens_per_batch, recipe.optimizer.epochs
    if tokens == "auto":
        large = steps > _LARGE_BATCH * _BATCHES
        tokens = _LARGE_BATCH if large else automatic_batch(steps, len(lengths))
    if epochs == "auto":
        large = steps > _MOST_STEPS // _EPOCHS
        fewer = max(_FEWEST_EPOCHS, _MOST_STEPS // steps)
        epochs = fewer if large else automatic_epochs(steps, tokens, least=_EPOCHS)
    chosen = recipe.changed(tokens_per_batch=tokens, epochs=epochs)
    return automatic_settings(replace(prepared, recipe=chosen))


def _parts(prepared: Prepared, log: TrainingLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sessions of training and validation, and those that were held out."""
    rows = prepared.rows
    if rows is None or not len(rows.test):
        number = counted(len(log.sequences), "session")
        raise RunError(f"no sessions were held out of {number}; give --test 0.2")
    return np.concatenate([rows.training, rows.validation]), np.asarray(rows.test)


def _calibration(
    predictor: Predictor, held_out: NDArray[np.int64], log: TrainingLog, learned: LearnedValues
) -> Calibration:
    """Return the scores of the held-out sessions."""
    scores = scores_of(Scorer(predictor), log.sequences)[held_out] + learned.evidence[held_out]
    kinds, used = kinds_of(log.sequences), learned.is_read[held_out]
    return Calibration.of(scores[used], kinds[held_out][used], KindCounts.of(kinds))


def scores_of(scorer: Scorer, sequences: Sequences) -> NDArray[np.float64]:
    """Return the score of each sequence, (S,)."""
    surprise = scorer.surprise(sequences.lists(sequences.events.event))
    return scorer.scores(sequences, surprise)
