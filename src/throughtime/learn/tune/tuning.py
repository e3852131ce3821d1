"""`tune`: a search for the model and the options that are best on validation, and a run with them."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.errors import RunError, ShapeError, UnsupportedError
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import Fitted, fit_prepared, named_columns, prepare
from throughtime.learn.predictor import Predictor
from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.learn.tune.budget import Clock, duration_text, seconds_of
from throughtime.learn.tune.command import train_command
from throughtime.learn.tune.lines import Narrator
from throughtime.learn.tune.plan import Plan
from throughtime.learn.tune.request import Request
from throughtime.learn.tune.space import space_of
from throughtime.learn.tune.study import NAME, Direction, StudyFile
from throughtime.learn.tune.trials import Trial, best_first
from throughtime.tasks import METRICS
from throughtime.training import Run, only_training, require_supported
from throughtime.training import processes as several

if TYPE_CHECKING:
    from throughtime.learn.tune.session import Session

_TRIALS = 20
"""Number of trials if neither that nor a time is given."""
BEST = "best"
"""Name of the folder of the best run."""


@dataclass(frozen=True)
class Tuned:
    """Result of a search.

    Parameters
    ----------
    trials : sequence of Trial
        All trials, in their order.
    best : Trial
        The one whose model and options the run has.
    options : mapping
        All options of the best run that are given or were found, for `throughtime.fit`.
    command : str
        The ``throughtime train`` command that repeats the best run.
    fitted : Fitted
        The best run.
    """

    trials: Sequence[Trial]
    best: Trial
    options: Mapping[str, Any]
    command: str
    fitted: Fitted = field(repr=False)

    @property
    def run(self) -> Run:
        """The best run."""
        return self.fitted.result.run

    @property
    def predictor(self) -> Predictor:
        """The best model.

        Raises
        ------
        ShapeError
            If it is a language or frame model, which has none.
        """
        if self.fitted.predictor is None:
            raise ShapeError("a language or frame model has no predictor; use the run of the search")
        return self.fitted.predictor


def tune(
    data: Any,
    *,
    out: str | Path,
    task: str | None = None,
    model: str | None = None,
    trials: int | None = None,
    budget: str | float | None = None,
    validation_data: Any = None,
    test_data: Any = None,
    resume: bool = False,
    progress: bool = True,
    device: str | None = None,
    **options: Any,
) -> Tuned:
    """Search for the model and the options that are best on validation, and train a run with them.

    Optuna's TPE proposes models and options; the first trial has the defaults. New trials are trained with a
    quarter of the epochs, and one trial in four repeats the best of them with all epochs. A trial that is
    behind the median of the others is pruned. The best trial is then trained once more, and only this run is
    measured on the test part.

    Parameters
    ----------
    data : path, frame, mapping of columns, or sequence
        As of `throughtime.fit`.
    out : path
        Folder for the study, ``study.journal``, and the best run, ``best``.
    task : str, optional
        As of `throughtime.fit`.
    model : str, optional
        Name of the model; by default several are tried.
    trials : int, optional
        Number of trials; by default 20, or as many as ``budget`` allows.
    budget : str or float, optional
        Time of all trials and the best run, in seconds or as "90s", "30m" or "2h".
    validation_data, test_data
        As of `throughtime.fit`.
    resume : bool
        Whether to continue the study in ``out``. Its trials are then those of a search without interruption.
    progress : bool
        Whether to print the trials.
    device : str, optional
        "cpu" or "cuda"; by default "cuda" if there is one.
    **options
        The options of ``throughtime train`` by name. Those that are given are not searched.

    Returns
    -------
    Tuned
        With the ``trials``, the ``best`` one, its ``options`` and ``command``, and the ``predictor``.

    Raises
    ------
    DataError, ShapeError, InputTypeError, RunError
        If the data, an option, or the folder cannot be used, the study is one of other data or options, or
        the budget is too small.
    ModuleNotFoundError
        If Optuna is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import throughtime as tt
    >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tuned = tt.tune(rows, out=f"{folder}/study", model="textcnn", trials=2, epochs=4, progress=False)
    >>> [(trial.epochs, trial.outcome.end) for trial in tuned.trials]
    [(1, 'complete'), (4, 'complete')]
    >>> tuned.predictor.predict(["good film"])
    ['+']
    """
    return search(
        data,
        Path(out),
        Request(task, model, named_columns(options)),
        trials=trials,
        budget=budget,
        held_out={"validation_data": validation_data, "test_data": test_data},
        resume=resume,
        device=device,
        narrator=Narrator.printing(quiet=not progress),
    )


def search(
    data: Any,
    out: Path,
    request: Request,
    *,
    trials: int | None = None,
    budget: str | float | None = None,
    held_out: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str | None = None,
    narrator: Narrator,
) -> Tuned:
    """Search and train the best run; see `tune`.

    Parameters
    ----------
    held_out : mapping, optional
        Further data, see `throughtime.learn.fitting.prepare`.
    narrator : Narrator
        Prints the trials.
    """
    require_optuna()
    _require_usable(trials, device)
    seconds = None if budget is None else seconds_of(budget)
    trials = _TRIALS if trials is None and seconds is None else trials
    with ExitStack() as stack:
        if resume:
            _require_study(out)
            stack.enter_context(only_training(out))
            request = request.resumed(_stored_request(out), out)
        else:
            _require_free(out)
            request = request.parsed()
        prepared = prepare(request.recipe(), data, **(held_out or {}))
        for note in prepared.notes:
            narrator.say(f"note: {note}")
        if not resume:
            stack.enter_context(_new_folder(out))
        session = _session(out, request, prepared, data, device)
        plan = Plan(_epochs(prepared), session.metric, trials, seconds)
        _run_trials(session, plan, narrator)
        return _best_run(out, request, prepared, session, narrator)


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises
    ------
    ModuleNotFoundError
        If it, or a library that it needs, is not.
    """
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        message = f"a search needs {error.name}; in a clone of throughtime: pip install '.[tune]'"
        raise ModuleNotFoundError(message, name=error.name) from error


def _require_usable(trials: int | None, device: str | None) -> None:
    if trials is not None and trials < 1:
        raise ShapeError(f"--trials must be at least 1, got {trials}")
    if several.processes() > 1:
        raise UnsupportedError(
            f"a search runs in one process, got {several.processes()}; start it without torchrun"
        )
    require_supported(device, None)


def _require_free(out: Path) -> None:
    if (out / NAME).exists():
        raise RunError(f"{out} already holds a study; continue it with --resume, or choose another --out")
    Run.require_free(out)


def _require_study(out: Path) -> None:
    if not (out / NAME).is_file():
        raise RunError(f"{out} holds no study: {NAME} is missing; give the folder of a search to resume")


def _stored_request(out: Path) -> Request:
    study = StudyFile.open(out)
    try:
        return Request.from_json(study.request)
    except ValueError as error:
        raise RunError(f"{study.path} is damaged: {error}; restore the file") from error


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """Create and lock a folder, and delete it if the search ends before its first trial does."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with only_training(out):
            if (out / NAME).exists():  # of a process that was faster
                _require_free(out)
            yield
    except BaseException:
        if (out / NAME).exists() and not StudyFile.open(out).trials():
            shutil.rmtree(out, ignore_errors=True)
        raise


def _epochs(prepared: Prepared) -> int:
    """Return the number of epochs of a whole training."""
    epochs = automatic_settings(prepared).optimizer.epochs
    return int(epochs)


def _session(out: Path, request: Request, prepared: Prepared, data: Any, device: str | None) -> "Session":
    """Return the session of a new study or of the one in the folder, if that is of the same data."""
    from throughtime.learn.tune.session import Session

    recipe = prepared.recipe
    metric = automatic_settings(prepared).settings().monitored(prepared.task)
    space = space_of(recipe.task, prepared.inputs, request.model, request.options)
    identity = {"data": prepared.source.describe().get("sha256"), "search": space.to_json(), "metric": metric}
    if (out / NAME).exists():
        study = StudyFile.open(out)
        _require_same(study, identity, out)
    else:
        direction: Direction = "maximize" if METRICS[metric].better == "higher" else "minimize"
        study = StudyFile.create(out, direction, {**request.to_json(), **identity})
    # Trials are not measured on the test part.
    source: Any = prepared.source
    without_test = replace(prepared, source=replace(source, test=None))
    return Session(without_test, data, request.model_options, space, metric, study, out / "trial", device)


def _require_same(study: StudyFile, identity: Mapping[str, Any], out: Path) -> None:
    stored = study.request
    try:
        differing = [name for name, value in identity.items() if stored.value(name) != value]
    except ValueError as error:
        raise RunError(f"{study.path} is damaged: {error}; restore the file") from error
    if "data" in differing:
        raise RunError(
            f"{out} is a study of other data: the hash differs; give the data and files that it was begun "
            "with, or choose another --out"
        )
    if differing:
        raise RunError(
            f"{out} is a study of another version of throughtime, which searches other values; use that "
            "version, or choose another --out"
        )


def _run_trials(session: "Session", plan: Plan, narrator: Narrator) -> None:
    """Run the trials that are left of a plan."""
    from throughtime.learn.tune.watch import OutOfTime

    trials = session.trials()
    narrator.begin(session.space.models, session.metric)
    for trial in trials:
        _tell(narrator, trial, trials[: trial.number + 1], session.metric)
    clock = Clock.after(trials, plan.seconds)
    while (step := plan.next_step(trials, clock.spent())) is not None:
        reserve = _best_seconds(trials, session.metric)
        try:
            if trials and clock.left(reserve) <= 0:
                return
            trial = session.run(step, clock.deadline(reserve))
        except OutOfTime as out_of_time:
            if trials:
                return
            raise _too_small(plan, session.space.models[0], out_of_time.epoch_seconds) from None
        trials.append(trial)
        _tell(narrator, trial, trials, session.metric)


def _tell(narrator: Narrator, trial: Trial, trials: Sequence[Trial], metric: str) -> None:
    best = best_first(trials, metric)[:1] == [trial]
    narrator.trial(trial, metric, best=best)


def _best_seconds(trials: Sequence[Trial], metric: str) -> float:
    """Return the time of the best trial, which the best run takes, too."""
    return next((trial.outcome.seconds for trial in best_first(trials, metric)), 0.0)


def _too_small(plan: Plan, model: str, epoch_seconds: float) -> ShapeError:
    needed = 2 * plan.few * epoch_seconds
    return ShapeError(
        f"--budget of {duration_text(plan.seconds or 0)} is too small: an epoch of {model} takes about "
        f"{duration_text(epoch_seconds)}, and the first trial and the best run have {plan.few} each; give at "
        f"least {duration_text(needed)}, or fewer --epochs"
    )


def _best_run(
    out: Path, request: Request, prepared: Prepared, session: "Session", narrator: Narrator
) -> Tuned:
    """Train the best trial again, as ``throughtime train`` does."""
    trials = session.trials()
    ranked = best_first(trials, session.metric)
    if not ranked:
        raise RunError(
            f"none of the {len(trials)} trials of {out} was finite; give a lower --learning-rate, or "
            "continue with --resume and more --trials"
        )
    best = ranked[0]
    recipe = session.recipe(best.model, best.options, best.epochs)
    whole = replace(prepared, recipe=recipe)
    whole = replace(whole, recipe=automatic_settings(whole))
    narrator.say(
        f"training trial {best.number} ({best.model}, {best.epochs} epochs) once more in {out / BEST}"
    )
    resume = _holds(out / BEST, whole.recipe)
    fitted = fit_prepared(
        whole, out / BEST, session.data, resume=resume, progress=not narrator.quiet, device=session.device
    )
    if fitted.result.interrupted:
        raise KeyboardInterrupt
    options = {**request.options, **best.options, "epochs": best.epochs}
    command = train_command(session.data_name, recipe.task, best.model, options)
    return Tuned(trials, best, {"model": best.model, **options}, command, fitted)


def _holds(path: Path, recipe: Recipe) -> bool:
    """Return whether a folder holds a run of a recipe; one of another trial is deleted."""
    if not path.exists():
        return False
    if Run.open(path).config.recipe.get("options") == json.loads(json.dumps(recipe.to_json())):
        return True
    shutil.rmtree(path)
    return False
