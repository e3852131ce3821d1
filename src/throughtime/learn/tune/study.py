"""`StudyFile`: the finished trials of a search, in a journal file of Optuna."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from throughtime._fields import Fields, to_json
from throughtime.data.files import read_bytes
from throughtime.errors import DataError, RunError
from throughtime.learn.tune.limits import Limits
from throughtime.learn.tune.space import Space
from throughtime.learn.tune.trials import Trial, UserAttributes

if TYPE_CHECKING:
    import optuna

Direction = Literal["maximize", "minimize"]
NAME = "study.journal"
STUDY = "throughtime"
_REQUEST, _LIMITS = "request", "limits"


class StudyFile:
    """The finished trials of a search.

    A trial is added when it has ended, in one line, so that a search that is killed leaves whole trials. The
    file is one of ``optuna.storages.JournalStorage``, for ``optuna.load_study`` and optuna-dashboard.

    Parameters
    ----------
    path : Path
        The journal.
    study : optuna.Study
        Its study.
    """

    def __init__(self, path: Path, study: "optuna.Study") -> None:
        self.path = path
        self._study = study

    @classmethod
    def create(cls, folder: Path, direction: Direction, request: Mapping[str, Any]) -> "StudyFile":
        """Create the journal of a new search in a folder.

        Parameters
        ----------
        folder : Path
            Exists.
        direction : "maximize" or "minimize"
            Which values are better.
        request : mapping
            JSON values that say what is searched.
        """
        import optuna

        path, part = folder / NAME, folder / f".{NAME}.part"
        with quiet_optuna():
            part.unlink(missing_ok=True)
            study = optuna.create_study(study_name=STUDY, storage=_storage(part), direction=direction)
            study.set_user_attr(_REQUEST, json.dumps(request))
        part.replace(path)
        return cls.opened(folder)

    @classmethod
    def opened(cls, folder: Path) -> "StudyFile":
        """Return the study in a folder; the last line is removed if a kill has cut it.

        Raises
        ------
        RunError
            If there is none, or it is damaged.
        """
        import optuna

        path = folder / NAME
        if not path.is_file():
            raise RunError(f"{folder} holds no study: {NAME} is missing; give the folder of throughtime tune")
        (folder / f"{NAME}.lock").unlink(missing_ok=True)  # of a process that was killed
        _cut_last_line(path)
        with quiet_optuna(), _reading(path):
            return cls(path, optuna.load_study(study_name=STUDY, storage=_storage(path)))

    @property
    def request(self) -> Fields:
        """What is searched.

        Raises
        ------
        RunError
            If it is missing or damaged.
        """
        with _reading(self.path):
            return Fields(json.loads(self._study.user_attrs[_REQUEST]), "request.")

    def limited_by(self, limits: Limits | None) -> Limits:
        """Store limits, if they are given, and return those of the search.

        Raises
        ------
        RunError
            If they are damaged.
        """
        if limits is not None:
            self._study.set_user_attr(_LIMITS, to_json(limits))
        with _reading(self.path):
            stored = self._study.user_attrs.get(_LIMITS)
            return Limits() if stored is None else Fields(stored, "limits.").dataclass(Limits)

    def trials(self) -> "list[optuna.trial.FrozenTrial]":
        """Return the finished trials as Optuna has them."""
        return self._study.get_trials(deepcopy=False)

    def trials_in(self, space: Space) -> list[Trial]:
        """Return the finished trials of a search in a space.

        Raises
        ------
        RunError
            If they are damaged.
        """
        with _reading(self.path):
            return [_trial(number, trial, space) for number, trial in enumerate(self.trials())]

    def add(self, trial: "optuna.trial.FrozenTrial") -> None:
        """Add a finished trial."""
        with quiet_optuna():
            self._study.add_trial(trial)

    @property
    def direction(self) -> Direction:
        """Which values are better."""
        return "maximize" if self._study.direction.name == "MAXIMIZE" else "minimize"


def _trial(number: int, trial: "optuna.trial.FrozenTrial", space: Space) -> Trial:
    attributes = UserAttributes.of(trial)
    model, options = space.chosen(trial.params)
    return Trial(number, model, options, attributes.epochs, attributes.repeats, attributes.outcome)


def _storage(path: Path) -> "optuna.storages.JournalStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _cut_last_line(path: Path) -> None:
    """Remove what stands after the last end of a line."""
    try:
        content = read_bytes(path)
    except DataError as error:
        raise RunError(str(error)) from error
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise what Optuna raises for a damaged journal as a `RunError`."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise RunError(
            f"{path} is damaged: {type(error).__name__} {' '.join(str(error).split())}; restore the file, or "
            "choose another --out"
        ) from error


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep back Optuna's remarks on new studies and trials."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)
