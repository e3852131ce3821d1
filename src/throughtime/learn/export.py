"""A run, or its predictor, as an ONNX model that reads the data's own numbers and returns predictions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from throughtime._fields import to_json
from throughtime.data.inputs import SeriesInputs
from throughtime.export.of_task import Preparation, onnx_of_task
from throughtime.learn.encoder import Encoder
from throughtime.tasks import Task

if TYPE_CHECKING:
    from onnx import ModelProto

_NAMES = ("classes", "labels", "tags", "targets")


def export_model(
    model: nn.Module,
    task: Task,
    encoder: Encoder | None,
    path: str | Path | None,
    *,
    name: str,
    tokenizer_json: str | None,
    streaming: bool = False,
    intermediates: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> "ModelProto":
    """Return a trained model as an ONNX model of its task, and write it if there is a path.

    Parameters
    ----------
    model, task
        The model, and what it was trained for.
    encoder : Encoder, optional
        What turns rows into what the model reads; None where the model reads prepared data.
    name, tokenizer_json : str
        Kept in the metadata.
    path, streaming, intermediates, metadata
        As in `throughtime.export.onnx`.
    """
    notes = {"model": name, "task": _text(task.to_json())}
    notes |= {key: _text(list(getattr(task, key))) for key in _NAMES if hasattr(task, key)}
    if tokenizer_json is not None:
        notes["tokenizer"] = tokenizer_json
    if encoder is not None:
        notes["encoder"] = _text(encoder.to_json())
    return onnx_of_task(
        model,
        task,
        path,
        preparation=preparation_of(encoder),
        streaming=streaming,
        intermediates=intermediates,
        metadata={**notes, **(metadata or {})},
    )


def preparation_of(encoder: Encoder | None) -> Preparation:
    """Return the part of an encoder that becomes part of the ONNX model: all but the tokenizer."""
    if encoder is None:
        return Preparation()
    series = encoder.inputs if isinstance(encoder.inputs, SeriesInputs) else None
    return Preparation(series, encoder.numeric, encoder.limit)


def _text(value: Any) -> str:
    return json.dumps(to_json(value), ensure_ascii=False)
