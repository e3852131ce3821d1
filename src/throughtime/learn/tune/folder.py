"""The folder of a search: free before it begins, locked while it runs, deleted if nothing came of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from throughtime.errors import RunError
from throughtime.learn.tune.request import Request
from throughtime.learn.tune.study import NAME, StudyFile
from throughtime.training import Run, only_training


def require_free(out: Path) -> None:
    """Check that a search can begin here.

    Raises
    ------
    RunError
        If the folder holds a study, a run, or anything else.
    """
    _require_no_study(out)
    Run.require_free(out)


def _require_no_study(out: Path) -> None:
    if (out / NAME).exists():
        raise RunError(f"{out} already holds a study; continue it with --resume, or choose another --out")


@contextmanager
def stored_folder(out: Path) -> Iterator[Request]:
    """Lock the folder of a study to resume, and yield what was asked of it.

    Raises
    ------
    RunError
        If there is no study, it is damaged, or another process is searching there.
    """
    if not (out / NAME).is_file():
        raise RunError(f"{out} holds no study: {NAME} is missing; give the folder of a search to resume")
    with only_training(out):
        study = StudyFile.opened(out)
        try:
            request = Request.from_json(study.request)
        except ValueError as error:
            raise RunError(f"{study.path} is damaged: {error}; restore the file") from error
        yield request


@contextmanager
def new_folder(out: Path) -> Iterator[None]:
    """Create and lock a folder, and delete it if the search ends before its first trial does."""
    out.mkdir(parents=True, exist_ok=True)
    with only_training(out):
        _require_no_study(out)  # of a process that was faster
        try:
            yield
        except BaseException:
            if not ((out / NAME).exists() and StudyFile.opened(out).trials()):
                shutil.rmtree(out, ignore_errors=True)
            raise
