"""`Predictor`: a trained run that takes raw data, and `load`."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.data.examples import Examples
from throughtime.data.objects import as_table
from throughtime.data.table import Table
from throughtime.errors import RunError, UnsupportedError
from throughtime.learn.encoder import Encoder
from throughtime.learn.export import export_model
from throughtime.learn.reading import read_rows
from throughtime.learn.recipe import Recipe
from throughtime.learn.streaming import PredictorSource
from throughtime.quantized import quantize
from throughtime.ragged import Ragged
from throughtime.tasks import Outputs, SequenceTask, model_outputs
from throughtime.tasks.outputs import by_row, joined
from throughtime.training import Metrics, Run

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True)
class Predicted:
    """The predictions of a model for the rows of a table.

    Parameters
    ----------
    table : Table
        The rows.
    columns : mapping of str to list
        Columns of predictions by name, with one entry for each row.
    outputs : Tensor or Ragged
        Outputs of the model.
    targets : Tensor, Ragged or None
        Encoded targets of the rows; None without target columns.
    """

    table: Table
    columns: Mapping[str, list[Any]]
    outputs: Outputs
    targets: Tensor | Ragged | None = None


class Predictor:
    """A trained model with all that raw data needs. Use `load` or `throughtime.fit` to construct one.

    Attributes
    ----------
    task : SequenceTask
        What it was trained for.
    model : Module
        The model, in evaluation mode.
    metrics : Metrics
        The metrics of the training.
    name : str
        Name of the architecture.

    Examples
    --------
    >>> import throughtime as tt
    >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
    >>> fitted = tt.fit(rows, epochs=5, progress=False)
    >>> fitted.predict(["bad film", "good film"])
    ['-', '+']
    """

    def __init__(
        self,
        task: SequenceTask,
        recipe: Recipe,
        encoder: Encoder,
        model: nn.Module,
        metrics: Metrics,
        name: str,
    ) -> None:
        self.task, self.recipe, self.encoder, self.model = task, recipe, encoder, model
        self.metrics, self.name = metrics, name

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return the predictor of a run.

        Raises
        ------
        RunError
            If the run is damaged, unfinished without weights, or of another kind.
        """
        task = run.task
        if not isinstance(task, SequenceTask) or run.config.recipe.get("kind") != "table":
            raise RunError(
                f"{run.path} is a run of task {task.name!r}, which reads no tables; for language and frame "
                "models use throughtime sample, or throughtime.training.Run.open"
            )
        path, tokenizer = run.path / "config.json", run.tokenizer_json()
        if tokenizer is None and "vocabulary_size" in run.config.shape:
            raise RunError(f"{run.path / 'tokenizer.json'} is missing; restore the file or train again")
        try:
            recipe = Recipe.from_json(run.config.recipe.get("options"))
            encoder = Encoder.from_json(run.config.recipe.get("encoder"), tokenizer)
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}; restore the file or train again") from error
        return cls(task, recipe, encoder, run.load_model(), run.metrics, run.config.model.name)

    def quantize(self, kind: Literal["int8"] = "int8", *, exclude: Iterable[str] = ()) -> Self:
        """Return a copy whose model has int8 weights, see `throughtime.quantize`.

        Examples
        --------
        >>> import throughtime as tt
        >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
        >>> fitted = tt.fit(rows, epochs=5, progress=False)
        >>> fitted.quantize().predict(["bad film", "good film"])
        ['-', '+']
        """
        small = copy.copy(self)
        small.model = quantize(self.model, kind, exclude=exclude)
        return small

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `predict_proba`."""
        if not self.task.probability_names:
            raise UnsupportedError(f"a run of task {self.task.name!r} has no classes")
        return self.task.probability_names

    def predict(self, data: Any) -> list[Any]:
        """Return the prediction for each row: a label, labels, a value, tags, or whether it is an anomaly.

        Parameters
        ----------
        data
            As for `throughtime.fit`, without targets.

        Raises
        ------
        DataError
            If a row cannot be encoded; the message names it.
        """
        columns = list(self.predictions(data).values())
        if self.task.main_columns == 1:
            answers: list[Any] = columns[0]
            return answers
        return [list(row) for row in zip(*columns[: self.task.main_columns], strict=True)]

    def predict_proba(self, data: Any) -> NDArray[np.float64]:
        """Return the probabilities of classes or labels, (rows, C).

        Raises
        ------
        UnsupportedError
            If the task has no probabilities.
        """
        return self.task.probabilities(self.outputs(data)).numpy()

    def predictions(self, data: Any) -> dict[str, list[Any]]:
        """Return all columns of predictions by name, such as "label" and the probability of each class."""
        return self.task.predictions(self.model, self.outputs(data))

    def iterate(self, tables: Iterable[Table], target: Sequence[str] = ()) -> Iterator[Predicted]:
        """Yield the predictions for one table after another.

        Memory is that of the largest table, so parts of a file that is larger than memory can be predicted.

        Parameters
        ----------
        tables : iterable of Table
            Each has the columns that the model reads.
        target : sequence of str
            Target columns to encode, for `measure`.

        Raises
        ------
        DataError
            If a row cannot be encoded; the message names it.

        Examples
        --------
        >>> import pyarrow as pa
        >>> import throughtime as tt
        >>> from throughtime.data.table import Table
        >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
        >>> fitted = tt.fit(rows, epochs=5, progress=False)
        >>> tables = (Table(pa.table({"text": [text]}), "a stream") for text in ("bad film", "good film"))
        >>> [part.columns["label"] for part in fitted.iterate(tables)]
        [['-'], ['+']]
        """
        for table in tables:
            outputs, targets = self._outputs_and_targets(table, target)
            columns = self.task.predictions(self.model, outputs)
            yield Predicted(table, columns, outputs, targets if target else None)

    def outputs(self, data: Any) -> Outputs:
        """Return the outputs of the model, such as logits, one row (or `Ragged` sequence) for each row."""
        return joined([self._outputs_and_targets(part, ())[0] for part in self.table(data).chunks()])

    def examples(self, data: Any) -> Examples:
        """Return raw data as the model reads it, without targets."""
        return self.encoder.unlabelled(self.table(data).loaded(), self.task)

    def export(
        self, path: str | Path | None = None, *, streaming: bool = False, intermediates: bool = False
    ) -> "ModelProto":
        """Return an ONNX model that predicts as this does, and write it if there is a path.

        Scaling of series and columns, missing values, temperature, thresholds and the units of targets are
        part of the model; its metadata has tokenizer, classes and the task. Needs the extra ``export``.

        Parameters
        ----------
        path : str or Path, optional
            File to write; one that is there is replaced.
        streaming : bool
            Whether the model reads sequences in chunks, see `throughtime.export.onnx`.
        intermediates : bool
            Whether values inside of the model are outputs, too.

        Raises
        ------
        InputTypeError, ShapeError
            If a part of the model has no form in ONNX; the message names it.
        NotCausalError
            If it is to stream, and a part, or the scaling, needs future steps.
        ModuleNotFoundError
            If the package onnx is not installed.

        Examples
        --------
        >>> import throughtime as tt
        >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
        >>> exported = tt.fit(rows, epochs=1, progress=False).export()
        >>> [value.name for value in exported.graph.output]
        ['logits', 'probabilities', 'prediction']
        """
        return export_model(
            self.model,
            self.task,
            self.encoder,
            path,
            name=self.name,
            tokenizer_json=self.encoder.inputs.tokenizer_json,
            streaming=streaming,
            intermediates=intermediates,
            metadata={name: str(size) for name, size in self.encoder.shape.items()},
        )

    def score(self, data: Any, target: Any = None) -> dict[str, float]:
        """Return all metrics on data with targets.

        Parameters
        ----------
        data
            As for `throughtime.fit`, with the target columns of the training.
        target : str or sequence of str, optional
            Target columns, if they have other names than in the training.
        """
        columns = self.recipe.columns.target if target is None else target
        columns = (columns,) if isinstance(columns, str) else tuple(columns)
        parts = self.table(data).chunks()
        return self.measure([self._outputs_and_targets(part, columns) for part in parts])[0]

    def measure(self, parts: Sequence[tuple[Outputs, Tensor | Ragged]]) -> tuple[dict[str, float], int]:
        """Return all metrics on outputs and targets of `iterate`, and the number of examples."""
        outputs, targets = (joined(pieces) for pieces in zip(*parts, strict=True))
        return self.task.measure(self.model, outputs, targets)

    def _outputs_and_targets(self, table: Table, target: Sequence[str]) -> tuple[Outputs, Tensor | Ragged]:
        examples = (
            self.encoder.examples(table, self.task, target)
            if target
            else self.encoder.unlabelled(table, self.task)
        )
        return by_row(model_outputs(self.model, examples), examples)

    def table(self, data: Any) -> Table:
        """Return raw data as rows with the columns that the model reads."""
        if isinstance(data, Table):
            return data
        if isinstance(data, str | Path):
            return read_rows(Path(data), replace(self.recipe.files, memory_map=None))
        return _renamed(as_table(data), self.recipe)

    def stream_source(self) -> PredictorSource:
        """Return what `throughtime.Stream` runs.

        Raises
        ------
        UnsupportedError, NotCausalError
            If the inputs or the task need whole sequences.
        """
        return PredictorSource(self.task, self.encoder, self.model)

    def __repr__(self) -> str:
        return f"Predictor({self.name}, {self.task.name})"


def load(run: str | Path) -> Predictor:
    """Return the predictor of a run in a folder.

    Parameters
    ----------
    run : path
        Folder that ``throughtime train`` or `throughtime.fit` wrote.

    Raises
    ------
    RunError
        If it is not a run, is damaged, or has no weights yet.

    Examples
    --------
    >>> import throughtime as tt
    >>> from tempfile import TemporaryDirectory
    >>> rows = {"text": ["good film", "bad film", "good play", "bad play"] * 10, "label": ["+", "-"] * 20}
    >>> with TemporaryDirectory() as folder:
    ...     _ = tt.fit(rows, out=f"{folder}/run", epochs=5, progress=False)
    ...     tt.load(f"{folder}/run").predict(["good film"])
    ['+']
    """
    return Predictor.of(Run.open(run))


def _renamed(table: Table, recipe: Recipe) -> Table:
    """Return unnamed Python sequences under the name of the only input column."""
    columns = recipe.columns
    wanted = [*columns.text, *columns.tokens, *columns.series]
    if len(table.names) == 1 and len(wanted) == 1 and table.names[0] != wanted[0]:
        return Table(
            table.content.rename_columns(wanted), table.name, table.unit, table.numbers, table.places
        )
    return table


def chunks(table: Table, rows: int) -> Iterator[Table]:
    """Yield the rows of a table in parts of at most so many rows, in memory."""
    for start in range(0, len(table), rows):
        yield table.select(np.arange(start, min(start + rows, len(table)))).loaded()
