"""What the outputs of a model mean for its task, as further outputs: probabilities, predictions, scores."""

from collections.abc import Callable
from typing import Any

import numpy as np

from throughtime.export._batch import INT64, Batch, Steps, Value, Vectors
from throughtime.export._crf import add_viterbi
from throughtime.export._model_graph import ModelGraph
from throughtime.export._place import Place
from throughtime.export._pool import CHUNK_POOLS, POOLS
from throughtime.export._series_inputs import double, doubles
from throughtime.export._stream import Stream
from throughtime.nn import CRF
from throughtime.nn.description import Operator
from throughtime.tasks import Anomaly, Classification, MultiLabel, Regression, Tagging

_CLASS = "Number of the predicted class, from 0."


def add_task_outputs(batch: Batch, graph: ModelGraph, task: Any, value: Value, crf: CRF | None) -> None:
    """Return what a task makes of the outputs of a model; nothing for other tasks."""
    add = _OUTPUTS.get(type(task))
    if add is not None:
        add(batch, graph, task, value, crf)


def _classification(
    batch: Batch, graph: ModelGraph, task: Classification, value: Vectors, crf: CRF | None
) -> None:
    del batch, crf
    scaled = graph.add("Div", value.name, graph.number(task.temperature))
    probabilities = graph.add("Softmax", scaled, axis=-1)
    _probabilities(graph, probabilities, len(task.classes))
    if task.threshold is None:
        number = graph.add("ArgMax", probabilities, axis=1, keepdims=0)
    else:
        positive = graph.add("Squeeze", graph.sliced(probabilities, 1, 2, axis=1), graph.constant([1]))
        number = graph.add(
            "Cast", graph.add("GreaterOrEqual", positive, graph.number(task.threshold)), to=INT64
        )
    graph.output(number, "prediction", np.int64, ("batch",), _CLASS)


def _multilabel(batch: Batch, graph: ModelGraph, task: MultiLabel, value: Vectors, crf: CRF | None) -> None:
    del batch, crf
    probabilities = graph.add("Sigmoid", value.name)
    _probabilities(graph, probabilities, len(task.labels))
    thresholds = np.array(task.thresholds or [0.5] * len(task.labels), np.float32)
    chosen = graph.add("GreaterOrEqual", probabilities, graph.constant(thresholds, "thresholds"))
    words = "Whether each label is predicted."
    graph.output(chosen, "prediction", np.bool_, ("batch", len(task.labels)), words)


def _probabilities(graph: ModelGraph, probabilities: str, count: int) -> None:
    graph.output(probabilities, "probabilities", np.float32, ("batch", count), "Probabilities.")


def _regression(batch: Batch, graph: ModelGraph, task: Regression, value: Vectors, crf: CRF | None) -> None:
    del batch, crf
    scale, mean = (
        graph.constant(np.array(part), name) for part, name in ((task.scale, "scale"), (task.mean, "mean"))
    )
    values = graph.add("Add", graph.add("Mul", doubles(graph, value.name), scale), mean)
    words = "Predicted values in the units of the targets."
    graph.output(values, "prediction", np.float64, ("batch", len(task.targets)), words)


def _tagging(batch: Batch, graph: ModelGraph, task: Tagging, value: Steps, crf: CRF | None) -> None:
    del task
    batch = batch.at(value)
    if crf is None:
        tags = graph.add("ArgMax", value.name, axis=2, keepdims=0)
    else:
        tags = add_viterbi(batch, graph, crf, value)
    if not batch.full:
        tags = graph.add("Where", batch.inside, tags, graph.constant([-1]))
    words = "Number of the predicted tag of each step, from 0" + (
        "." if batch.full else "; -1 behind the end."
    )
    by_sequence = graph.add("Transpose", tags, perm=[1, 0])
    graph.output(by_sequence, "prediction", np.int64, ("batch", batch.length), words)


def _anomaly(batch: Batch, graph: ModelGraph, task: Anomaly, value: Steps, crf: CRF | None) -> None:
    del crf
    batch, name = batch.at(value), f"{task.reduce}_over_time"
    pools: Any = CHUNK_POOLS if isinstance(batch, Stream) else POOLS
    pooled = pools[name](batch, Operator.of(f"throughtime::{name}"), value, Place("score", "score"))
    score = doubles(graph, graph.add("Squeeze", pooled.name, graph.constant([1])))
    threshold = double(graph, np.inf if task.threshold is None else task.threshold)
    above = graph.add("GreaterOrEqual", score, threshold)
    graph.output(score, "score", np.float64, ("batch",), "Anomaly score of each sequence.")
    graph.output(above, "prediction", np.bool_, ("batch",), "Whether the score reaches the threshold.")


_OUTPUTS: dict[type[Any], Callable[[Batch, ModelGraph, Any, Any, CRF | None], None]] = {
    Anomaly: _anomaly,
    Classification: _classification,
    MultiLabel: _multilabel,
    Regression: _regression,
    Tagging: _tagging,
}
