"""`tune`: a search for the model and the options that are best on validation, and a run with them."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from throughtime.errors import UnsupportedError
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import named_columns, prepare
from throughtime.learn.prepared import Prepared
from throughtime.learn.tune.best import Tuned, best_run
from throughtime.learn.tune.folder import new_folder, require_free, stored_folder
from throughtime.learn.tune.limits import Limits
from throughtime.learn.tune.loop import run_trials
from throughtime.learn.tune.opening import open_session
from throughtime.learn.tune.plan import Plan
from throughtime.learn.tune.printing import TrialPrinter
from throughtime.learn.tune.request import Request
from throughtime.training import processes as several
from throughtime.training import require_supported


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
        What is not given, such as ``trials``, is as it was.
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
    >>> [(trial.epochs, trial.outcome.state) for trial in tuned.trials]
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
        printer=TrialPrinter.printing(quiet=not progress),
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
    printer: TrialPrinter,
) -> Tuned:
    """Search and train the best run; see `tune`.

    Parameters
    ----------
    held_out : mapping, optional
        Further data, see `throughtime.learn.fitting.prepare`.
    printer : TrialPrinter
        Prints the trials.
    """
    require_optuna()
    _require_supported(device)
    limits = Limits.of(trials, budget)
    with ExitStack() as stack:
        if resume:
            request = request.resumed(stack.enter_context(stored_folder(out)), out)
        else:
            require_free(out)
            request = request.parsed()
        prepared = prepare(request.recipe(), data, **(held_out or {}))
        for note in (*prepared.notes, *prepared.choices):
            printer.say(f"note: {note}")
        if not resume:
            stack.enter_context(new_folder(out))
        session = open_session(out, request, prepared, data, device)
        limits = session.study.limited_by(limits)
        run_trials(session, Plan(_epochs(prepared), session.metric, limits), printer)
        return best_run(out, request, prepared, session, printer)


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


def _require_supported(device: str | None) -> None:
    if several.processes() > 1:
        raise UnsupportedError(
            f"a search runs in one process, got {several.processes()}; start it without torchrun"
        )
    require_supported(device, None)


def _epochs(prepared: Prepared) -> int:
    """Return the number of epochs of a whole training."""
    return int(automatic_settings(prepared).optimizer.epochs)
