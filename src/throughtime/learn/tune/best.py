"""`Tuned`: the best run of a search, trained once more and measured on the test part."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.errors import RunError, ShapeError
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import Fitted, fit_prepared
from throughtime.learn.predictor import Predictor
from throughtime.learn.prepared import Prepared
from throughtime.learn.recipe import Recipe
from throughtime.learn.tune.command import train_command
from throughtime.learn.tune.printing import TrialPrinter
from throughtime.learn.tune.request import Request
from throughtime.learn.tune.trials import Trial, best_first
from throughtime.training import Run

if TYPE_CHECKING:
    from throughtime.learn.tune.session import Session

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
        Task, model and options of the best run that were given or found, for `throughtime.fit`.
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


def best_run(
    out: Path, request: Request, prepared: Prepared, session: "Session", printer: TrialPrinter
) -> Tuned:
    """Train the best trial once more, as ``throughtime train`` does.

    Raises
    ------
    RunError
        If no trial was trained to its end.
    KeyboardInterrupt
        After Ctrl-C; its state is saved.
    """
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
    printer.say(
        f"training trial {best.number} ({best.model}, {best.epochs} epochs) once more in {out / BEST}"
    )
    resume = _holds(out / BEST, whole.recipe)
    fitted = fit_prepared(
        whole, out / BEST, session.data, resume=resume, progress=not printer.quiet, device=session.device
    )
    if fitted.result.interrupted:
        raise KeyboardInterrupt
    options = {**request.options, **best.options, "epochs": best.epochs}
    command = train_command(session.data_name, recipe.task, best.model, options)
    return Tuned(trials, best, {"task": recipe.task, "model": best.model, **options}, command, fitted)


def _holds(path: Path, recipe: Recipe) -> bool:
    """Return whether a folder holds a run of a recipe; one of another trial is deleted."""
    if not path.exists():
        return False
    if Run.open(path).config.recipe.get("options") == json.loads(json.dumps(recipe.to_json())):
        return True
    shutil.rmtree(path)
    return False
