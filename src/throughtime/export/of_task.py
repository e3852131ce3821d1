"""`onnx_of_task`: a trained model as an ONNX model of its task, from rows of data to predictions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from throughtime.data.inputs import LengthLimit, NumericColumns, SeriesInputs
from throughtime.errors import NotCausalError, UnsupportedError
from throughtime.export._batch import Batch, Steps, Value, Vectors
from throughtime.export._file import write_file
from throughtime.export._intermediates import Intermediates
from throughtime.export._model_graph import ModelGraph
from throughtime.export._row_windows import RowWindows, truncated
from throughtime.export._series_inputs import scaled_columns, scaled_steps
from throughtime.export._stream import Stream
from throughtime.export._surprise import add_surprise
from throughtime.export._task_outputs import add_task_outputs
from throughtime.export._walk import add_part
from throughtime.export._weights import check_float32, check_size
from throughtime.export._whole_model import (
    LENGTHS,
    PADDED,
    add_output,
    add_states_and_intermediates,
    extra_of,
    features_of_input,
    take_steps,
)
from throughtime.ops.modes import evaluating
from throughtime.tasks import Task
from throughtime.tasks.anomaly import Surprise
from throughtime.tasks.tagging import Tagger

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True)
class Preparation:
    """How rows of data become what a model reads; what is None is not there.

    Parameters
    ----------
    series : SeriesInputs
        Missing values and scales of series.
    numeric : NumericColumns
        Missing values and scales of the columns of numbers beside a sequence.
    limit : LengthLimit
        What happens to long sequences.
    """

    series: SeriesInputs | None = None
    numeric: NumericColumns | None = None
    limit: LengthLimit | None = None


def onnx_of_task(
    model: nn.Module,
    task: Task,
    path: str | Path | None = None,
    *,
    preparation: Preparation | None = None,
    streaming: bool = False,
    intermediates: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> "ModelProto":
    """Return a trained model and what its task makes of its outputs as an ONNX model.

    As `throughtime.export.onnx`, but series are read as the data have them, in float64, and the model also
    returns "probabilities" and "prediction", or of anomalies "surprise", "score" and "prediction".

    Parameters
    ----------
    model : Module
        The model, with float32 parameters; of a task with a CRF or of anomalies as the task completes it.
    task : Task
        What it was trained for.
    path : str or Path, optional
        File to write; one that is there is replaced.
    preparation : Preparation, optional
        What happens to the data before the model; without it the model reads what `throughtime.export.onnx`
        says.
    streaming, intermediates, metadata
        As in `throughtime.export.onnx`.

    Raises
    ------
    InputTypeError, ShapeError, NotCausalError
        As `throughtime.export.onnx`, and if a stream cannot be prepared step by step.
    UnsupportedError
        If a stream would need the end of a sequence.
    """
    check_float32(model)
    check_size(model)
    if streaming and isinstance(model, Tagger):
        raise NotCausalError(
            "the best tags of a conditional random field depend on later steps, which a stream does not have "
            "yet; train without crf (--crf)"
        )
    graph, between = ModelGraph(), Intermediates() if intermediates else None
    notes = dict(metadata or {})
    with evaluating(model), torch.no_grad():
        batch, steps = _read(graph, model, preparation or Preparation(), between, streaming=streaming)
        _add(batch, graph, model, task, steps, (preparation or Preparation()).limit)
    if isinstance(batch, Stream):
        notes["states"] = json.dumps([state.described() for state in batch.states])
    proto = graph.model(notes)
    if path is not None:
        write_file(Path(path), proto.SerializeToString())
    return proto


def _read(
    graph: ModelGraph,
    model: nn.Module,
    preparation: Preparation,
    intermediates: Intermediates | None,
    *,
    streaming: bool,
) -> tuple[Batch, Steps]:
    """Return the inputs of the model of the rows that it takes."""
    inner = model.model if isinstance(model, Surprise | Tagger) else model
    features = None if (series := preparation.series) is not None else features_of_input(inner)
    words = ("The next steps of each sequence" if streaming else "Padded sequences", "one for each step")
    if series is None:
        read = take_steps(graph, features, *words, PADDED)
    else:
        dims = ("batch", "length", len(series.means))
        x = graph.input("x", np.float64, dims, f"{words[0]}, as the data have them. {PADDED}")
        read = graph.add("Transpose", x, perm=[1, 0, 2])  # for its sizes
    batch: Batch
    if streaming:
        batch = Stream.of_steps(graph, read, intermediates)
    else:
        batch = Batch.of(graph, graph.input("lengths", np.int64, ("batch",), LENGTHS), read, intermediates)
    batch = replace(batch, extra=_extra(graph, inner, preparation.numeric))
    if series is None:
        return batch, Steps(read, features)
    steps = scaled_steps(batch, graph, "x", series)
    return batch.at(steps), steps


def _extra(graph: ModelGraph, model: nn.Module, columns: NumericColumns | None) -> Vectors:
    if columns is None:
        return extra_of(graph, model)
    names = columns.options.columns
    words = f"Columns {', '.join(names)} of each row, as the data have them."
    x = graph.input("extra", np.float64, ("batch", len(names)), words)
    return scaled_columns(graph, x, columns)


def _add(
    batch: Batch, graph: ModelGraph, model: nn.Module, task: Task, steps: Steps, limit: LengthLimit | None
) -> None:
    if limit is not None and limit.longer != "refuse" and isinstance(batch, Stream):
        raise UnsupportedError(
            f"the run reads at most {limit.length:,} steps of a sequence, which a stream has no end to count "
            "from; train without max_length"
        )
    if limit is not None and limit.longer == "windows":
        windows = RowWindows.of(batch, limit)
        inner = replace(windows.batch, extra=windows.repeated(batch.extra))
        outputs = add_part(inner, model, replace(windows.cut(steps, limit), batch=inner))
        value: Value = windows.mean(_pooled(outputs))
    else:
        if limit is not None and limit.longer == "truncate":
            batch = truncated(batch, limit)
            steps = replace(steps, batch=batch)
        value = _outputs(batch, model, steps)
    add_output(batch, value, graph, "surprise" if isinstance(model, Surprise) else None)
    add_task_outputs(batch, graph, task, value, model.crf if isinstance(model, Tagger) else None)
    add_states_and_intermediates(batch, value, graph)


def _outputs(batch: Batch, model: nn.Module, steps: Steps) -> Value:
    if isinstance(model, Surprise):
        return add_surprise(batch, model, steps)
    return add_part(batch, model.model if isinstance(model, Tagger) else model, steps)


def _pooled(value: Value) -> Vectors:
    if isinstance(value, Steps):
        raise UnsupportedError(
            "windows are averaged for tasks with one output per sequence; train with truncate"
        )
    return value
