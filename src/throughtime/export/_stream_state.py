"""`stream_state`: the state of a streaming ONNX model where sequences begin."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.errors import InputTypeError, ShapeError


def stream_state(model: Any, batch_size: int = 1) -> dict[str, np.ndarray]:
    """Return the state of sequences that begin, as inputs of a streaming model: zeros.

    Parameters
    ----------
    model : onnx.ModelProto, str, Path or onnxruntime.InferenceSession
        What `onnx` returned with ``streaming=True``, the file of it, or a session that runs it.
    batch_size : int
        B, the number of sequences.

    Returns
    -------
    dict of str to ndarray
        Every input of the model but the next steps, by its name, such as "lstm.h_0". The state for the next
        chunk is the output of the same name with ``_n`` in place of ``_0``.

    Raises
    ------
    InputTypeError
        If it is not a model that was exported with ``streaming=True``.
    ShapeError
        If the batch size is below 1.

    Examples
    --------
    >>> import throughtime as tt
    >>> model = tt.export.onnx(tt.models.LSTMModel(10, 2, pool="mean"), streaming=True)
    >>> {name: array.shape for name, array in tt.export.stream_state(model).items()}
    {'recurrent.h_0': (1, 1, 128), 'recurrent.c_0': (1, 1, 128), 'pool.sum_0': (1, 128), 'steps_0': (1, 1)}
    """
    if batch_size < 1:
        raise ShapeError(f"stream_state: batch_size is at least 1, got {batch_size}")
    states = _metadata(model).get("states")
    if states is None:
        raise InputTypeError(
            "stream_state: the model has no metadata of states; export it with streaming=True"
        )
    try:
        return {state["input"]: _zeros(state, batch_size) for state in json.loads(states)}
    except (KeyError, TypeError, ValueError, MemoryError, RecursionError):
        raise InputTypeError(
            "stream_state: the metadata entry 'states' of the model is damaged; export it again"
        ) from None


def _zeros(state: Any, batch_size: int) -> np.ndarray:
    shape = [batch_size if size == "batch" else size for size in state["shape"]]
    return np.zeros(shape, np.dtype(state["dtype"]))


def _metadata(model: Any) -> dict[str, str]:
    if hasattr(model, "get_modelmeta"):
        return dict(model.get_modelmeta().custom_metadata_map)
    if isinstance(model, str | Path):
        import onnx
        from google.protobuf.message import DecodeError

        try:
            model = onnx.load(model, format="protobuf", load_external_data=False)
        except DecodeError:
            raise InputTypeError(
                f"stream_state: {model} is no ONNX model, or a damaged one; export it again"
            ) from None
    if not hasattr(model, "metadata_props"):
        raise InputTypeError(
            "stream_state takes an onnx.ModelProto, a file or an InferenceSession, got "
            f"{type(model).__name__}"
        )
    return {entry.key: entry.value for entry in model.metadata_props}
