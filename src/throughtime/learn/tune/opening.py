"""The session of a new search, or of one that is resumed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from throughtime.errors import RunError
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.prepared import Prepared
from throughtime.learn.tune.request import Request
from throughtime.learn.tune.space import space_of
from throughtime.learn.tune.study import NAME, Direction, StudyFile
from throughtime.tasks import METRICS

if TYPE_CHECKING:
    from throughtime.learn.tune.session import Session


def open_session(out: Path, request: Request, prepared: Prepared, data: Any, device: str | None) -> "Session":
    """Return the session of the study in a folder, or of a new one.

    Raises
    ------
    RunError
        If the study is one of other data, or is damaged.
    ShapeError
        If no model has the options, or the task has no such metric.
    """
    from throughtime.learn.tune.session import Session

    recipe = prepared.recipe
    metric = automatic_settings(prepared).settings().monitored(prepared.task)
    space = space_of(recipe.task, prepared.inputs, request.model, request.options)
    identity = {"data": prepared.source.describe().get("sha256"), "search": space.to_json(), "metric": metric}
    if (out / NAME).exists():
        study = StudyFile.opened(out)
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
