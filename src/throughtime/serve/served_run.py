"""`ServedRun`: a run that answers requests in batches, also while it is loaded anew."""

import datetime as dt
import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from throughtime.errors import RunError, ThroughtimeError
from throughtime.learn import Predictor
from throughtime.serve.answers import Answers
from throughtime.serve.batcher import Batcher, Job
from throughtime.serve.metrics import ServerMetrics
from throughtime.serve.options import ServeOptions
from throughtime.serve.predicting import Answer, answer
from throughtime.serve.rows import Row
from throughtime.serve.sessions import Sessions
from throughtime.streaming import Stream
from throughtime.tasks import SequenceTask
from throughtime.training import Run


@dataclass(frozen=True)
class LoadedRun:
    """What was read from the folder of a run.

    Parameters
    ----------
    predictor : Predictor
        Its model.
    weights : str
        First 12 hexadecimal digits of the SHA-256 of the file of weights, to tell versions of a model apart.
    at : datetime
        When it was read.
    """

    predictor: Predictor
    weights: str
    at: dt.datetime

    @classmethod
    def read(cls, path: Path, *, int8: bool = False) -> "LoadedRun":
        """Read a run, and quantize its weights on demand.

        Raises
        ------
        RunError
            If the folder is no run, is damaged, or is of a task that predicts no rows.
        UnsupportedError
            If the model has no int8 form.
        """
        run = Run.open(path)
        _require_rows(run)
        predictor = Predictor.of(run)
        if int8:
            predictor = predictor.quantize()
        digest = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
        return cls(predictor, digest[:12], dt.datetime.now(dt.UTC))

    @cached_property
    def stream(self) -> Stream:
        """The sequences that arrive piece by piece.

        Raises
        ------
        NotCausalError, UnsupportedError
            If the model or its inputs need whole sequences.
        """
        return Stream(self.predictor)  # type: ignore[arg-type]  # a package above that of Stream

    @property
    def can_stream(self) -> bool:
        """Whether the model runs on sequences that arrive piece by piece."""
        try:
            return self.stream is not None
        except ThroughtimeError:
            return False


def _require_rows(run: Run) -> None:
    if not isinstance(run.config.task, SequenceTask):
        raise RunError(
            f"{run.path} is a run of task {run.config.task.name!r}, which predicts no rows and cannot be "
            f"served; use throughtime sample {run.path}"
        )
    if run.config.recipe.get("kind") != "table":
        raise RunError(
            f"{run.path} is a run of the demo, which reads Python files and cannot be served; use "
            f"throughtime predict {run.path}"
        )


class ServedRun:
    """A run that answers requests.

    Parameters
    ----------
    path : path
        Folder of the run.
    options : ServeOptions
        Limits.
    metrics : ServerMetrics
        Where requests and batches are counted.

    Attributes
    ----------
    name : str
        Name of the folder.
    sessions : Sessions
        The open streams.
    loaded : LoadedRun
        The model that answers.

    Raises
    ------
    RunError
        If the folder is no run, is damaged, or is of a task that predicts no rows.
    """

    def __init__(self, path: Path, options: ServeOptions, metrics: ServerMetrics) -> None:
        self.path, self.options, self.name = path, options, path.resolve().name
        self.loaded = LoadedRun.read(path, int8=options.int8)
        self._loading = threading.Lock()
        self._batcher = Batcher(self._answer, options, f"throughtime-{self.name}")
        self.metrics = metrics.of(self.name, lambda: self.waiting)
        self.sessions = Sessions(options, self.metrics, f"throughtime-{self.name}-stream")

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return len(self._batcher)

    def start(self) -> None:
        """Start to answer requests of the running event loop."""
        self._answers = Answers()
        self._batcher.start()
        self.sessions.start()

    def stop(self) -> None:
        """Answer the requests that wait, and take no more."""
        self.sessions.stop()
        self._batcher.stop()

    async def predicted(self, rows: list[Row], model: LoadedRun, size: int) -> Answer:
        """Return the predictions of rows by a model that was `loaded`; see `Batcher.submit`."""
        answer: Answer = await self._answers.of(self._batcher.submit(rows, model, size))
        return answer

    def reload(self) -> None:
        """Load the run anew; until it is loaded, and if that fails, the former model answers.

        Raises
        ------
        RunError
            If it cannot be loaded.
        """
        with self._loading:
            try:
                self.loaded = LoadedRun.read(self.path, int8=self.options.int8)
            except Exception:
                self.metrics.reloaded(succeeded=False)
                raise
            self.metrics.reloaded(succeeded=True)

    def _answer(self, jobs: Sequence[Job]) -> int:
        return sum(
            self._answer_by(model, list(group)) for model, group in groupby(jobs, lambda job: job.model)
        )

    def _answer_by(self, model: LoadedRun, jobs: Sequence[Job]) -> int:
        began = time.perf_counter()
        tokens = answer(model.predictor, jobs, self.options)
        rows = sum(len(job.content) for job in jobs)
        self.metrics.batch(len(jobs), rows, tokens, time.perf_counter() - began)
        return tokens
