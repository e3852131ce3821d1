"""`LogModel`: a trained run with the options of a log, its templates, the model, and held-out scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from throughtime._fields import Fields, Positive, to_json
from throughtime.data.table import Table
from throughtime.data.vocabulary import UNKNOWN
from throughtime.errors import RunError
from throughtime.learn import Predictor, Recipe
from throughtime.logs.conformal import Calibration
from throughtime.logs.events import Events
from throughtime.logs.options import LogOptions, checked
from throughtime.logs.records import Framing
from throughtime.logs.scores import session_scores
from throughtime.logs.sequences import Sequences, sequences_of
from throughtime.logs.templates import Template, Templates
from throughtime.logs.values import Values
from throughtime.ops.modes import evaluating
from throughtime.training import Run

if TYPE_CHECKING:
    from throughtime.ragged import Ragged
    from throughtime.tasks.anomaly import Surprise

COLUMN = "events"
"""Column of the events of a session."""
NAME = "logs.json"
CALIBRATION = "calibration.json"
VALUES = "values.json"
_FEW = 4096
"""Maximum number of events that are scored in one batch, without the preparation of batches."""
NEW_TEMPLATE = "a new template"
END = "the end of the session"


class Expected(NamedTuple):
    """A template that the model expected, and its probability."""

    template: str
    probability: float


@dataclass(frozen=True)
class LogSettings:
    """Settings of the log of a run, stored in the file ``logs.json``.

    Parameters
    ----------
    options : LogOptions
        How the log is read.
    length : int
        Maximum number of records of a sequence.
    framing : "timestamps" or "indentation"
        How the first line of a record is recognised in logs that are followed.
    open_for : int
        Number of records of the log after which a session without new records has ended.
    templates : tuple of Template
        The templates.
    """

    options: LogOptions
    length: Positive
    framing: Framing
    open_for: int
    templates: tuple[Template, ...]

    def sequences(self, events: Events) -> Sequences:
        """Return the sequences of the records of a log."""
        return sequences_of(events, self.length, self.open_for)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the settings that `to_json` wrote; raises ValueError for other content."""
        settings = Fields(content, "logs.").dataclass(cls)
        checked(settings.options)
        return settings


class LogModel:
    """A model of the sessions of a log. Use `LogModel.open` to construct one.

    Attributes
    ----------
    run : Run
        The run.
    settings : LogSettings
        How the log is read, and its templates.
    templates : Templates
        The templates, to be matched with messages.
    calibration : Calibration
        Scores of normal sessions that were held out.
    values : Values
        The usual gaps and parameters.
    """

    def __init__(
        self,
        run: Run,
        settings: LogSettings,
        predictor: Predictor,
        calibration: Calibration,
        values: Values,
    ) -> None:
        self.run, self.settings, self.calibration, self.values = run, settings, calibration, values
        self.templates = Templates(settings.templates)
        self.predictor = predictor
        self.scorer = Scorer(predictor)
        self.template_names = {
            str(number): template.name for number, template in enumerate(settings.templates)
        }

    @property
    def recipe(self) -> Recipe:
        """The training recipe, with the settings that depend on the size of the log set to "auto"."""
        return self.predictor.recipe.changed(epochs="auto", patience="auto", tokens_per_batch="auto")

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the folder of a run of ``throughtime logs train``.

        Raises
        ------
        RunError
            If it is not a run of ``throughtime logs train``, is damaged, or its training has not finished.
        """
        run = Run.open(path)
        settings = settings_of(run)
        calibration = run.read_as(CALIBRATION, Calibration.from_json)
        if calibration is None:
            raise RunError(f"the training in {run.path} has not finished; continue it with --resume")
        return cls(run, settings, Predictor.of(run), calibration, _values_of(run, len(settings.templates)))


def open_log_model(path: str | Path) -> LogModel:
    """Return the model of a run of ``throughtime logs train``; see `LogModel.open`."""
    return LogModel.open(path)


def settings_of(run: Run) -> LogSettings:
    """Return the settings of the log of a run.

    Raises
    ------
    RunError
        If it is not a run of ``throughtime logs train``, or damaged.
    """
    settings = run.read_as(NAME, LogSettings.from_json)
    if settings is None:
        raise RunError(
            f"{run.path} is a run of task {run.config.task.name!r}, not of a log; give a run of "
            "throughtime logs train"
        )
    return settings


def _values_of(run: Run, templates: int) -> Values:
    """Return the usual values of a run."""
    values = run.read_as(VALUES, lambda content: Values.from_json(content, templates))
    return Values((), templates) if values is None else values


class Scorer:
    """The surprise of events under a trained model of sessions.

    Parameters
    ----------
    predictor : Predictor
        A predictor of task "anomaly" that reads lists of event numbers.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._model = cast("Surprise", predictor.model)

    def surprise(self, events: pa.ListArray) -> NDArray[np.float64]:
        """Return −log p of each event and of each end of a sequence, given the previous events, (M + S,)."""
        if len(events.values) > _FEW:
            outputs = cast("Ragged", self.predictor.outputs(as_table(events)))
        else:
            with evaluating(self._model), torch.no_grad():
                outputs = self._model(self.predictor.examples(as_table(events)).inputs)
        return outputs.values[:, 0].double().numpy()

    def expected(
        self, events: pa.ListArray, names: Mapping[str, str], count: int = 3
    ) -> list[Sequence[Expected]]:
        """Return the most probable templates at each step of one sequence, and at its end.

        Parameters
        ----------
        events : ListArray
            One sequence.
        names : mapping of str to str
            Template of each event number, as text.
        count : int
            Number of templates.
        """
        words = [*self.predictor.encoder.inputs.token_names, END]
        inputs = self.predictor.examples(as_table(events)).inputs
        with evaluating(self._model), torch.no_grad():
            _, states = self._model.before(inputs)
            probability = self._model.model.read_out(states.values).exp()
        top = probability.topk(min(count, probability.shape[-1]))
        return [
            [Expected(_named(words[token], names), share) for share, token in zip(*step, strict=True)]
            for step in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        ]

    def scores(self, sequences: Sequences, surprise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each sequence, (S,), see `throughtime.logs.scores.session_scores`.

        Steps of the context of a part do not count, and the end only where a session with an identifier ends.
        """
        counted = np.where(sequences.scored(), surprise, 0.0)
        return session_scores(counted, np.diff(sequences.offsets) + 1)


def as_table(events: pa.ListArray) -> Table:
    """Return sequences of events as rows."""
    return Table(pa.table({COLUMN: events}), "the log", "session")


def _named(word: str, names: Mapping[str, str]) -> str:
    return NEW_TEMPLATE if word == UNKNOWN else names.get(word, word)
