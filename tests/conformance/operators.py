"""ONNX operators run by our layers and by ONNX Runtime, with ONNX's inputs and outputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

import throughtime as tt
from throughtime import Ragged
from throughtime.convert import OnnxOperator

Arrays = dict[str, np.ndarray]


def by_us(
    kind: str, attributes: Mapping[str, Any], inputs: Mapping[str, Any], dtype: type = np.float64
) -> Arrays:
    """Y (L, D, B, H), Y_h and, of LSTM, Y_c (D, B, H); with layout=1 the batch comes first in all of them.

    Weights and everything else are converted to ``dtype`` first. Steps behind a sequence's end are 0.
    """
    attributes = dict(attributes)
    given = {name: np.asarray(value, dtype) for name, value in inputs.items() if name != "sequence_lens"}
    if attributes.pop("layout", 0):
        swapped = {
            name: given[name].swapaxes(0, 1) for name in given if name in {"X", "initial_h", "initial_c"}
        }
        out = by_us(kind, attributes, {**inputs, **swapped}, dtype)
        return {"Y": out.pop("Y").transpose(2, 0, 1, 3)} | {name: y.swapaxes(0, 1) for name, y in out.items()}
    states = [given.pop(name, None) for name in ("initial_h", "initial_c")]
    reverse = attributes.get("direction") == "reverse"
    if reverse:
        # No layer of ours reads in reverse alone: the second half of one that reads both ways does.
        attributes["direction"] = "bidirectional"
        attributes |= {k: 2 * list(v) for k, v in attributes.items() if k.startswith("activation")}
        given = {
            name: value if name == "X" else np.concatenate([value, value]) for name, value in given.items()
        }
        states = [None if state is None else np.concatenate([state, state]) for state in states]
    x = torch.from_numpy(given.pop("X"))
    layer = tt.convert.from_onnx(OnnxOperator(kind, attributes, given))
    lengths = inputs.get("sequence_lens", np.full(x.shape[1], x.shape[0]))
    tokens = Ragged.from_padded(
        x, lengths=torch.as_tensor(np.asarray(lengths), dtype=torch.int64), batch_first=False
    )
    with torch.no_grad():
        result = layer(tokens, _state(kind, states, layer, x))
    y = result.output.to_padded(length=x.shape[0], batch_first=False).unflatten(2, (-1, layer.hidden_size))
    finals = result.state if kind == "LSTM" else (result.state,)
    outputs = {"Y": y.transpose(1, 2)} | dict(zip(("Y_h", "Y_c"), finals, strict=False))
    half = {"Y": (slice(None), slice(1, None)), "Y_h": slice(1, None), "Y_c": slice(1, None)}
    return {name: (y[half[name]] if reverse else y).numpy() for name, y in outputs.items()}


def _state(kind: str, states: list[Any], layer: Any, x: torch.Tensor) -> Any:
    if all(state is None for state in states):
        return None
    zeros = np.zeros((2 if layer.bidirectional else 1, x.shape[1], layer.hidden_size), x.numpy().dtype)
    h, c = (torch.from_numpy(zeros if state is None else state) for state in states)
    return (h, c) if kind == "LSTM" else h


NAMES = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def by_onnxruntime(kind: str, attributes: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> Arrays:
    """The same of one node in a model of its own, on the CPU with one thread."""
    names = [name if name in inputs else "" for name in (NAMES if kind == "LSTM" else NAMES[:6])]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, names, outputs, **attributes)
    types = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in inputs.items()}
    (steps, batch, _), (directions, _, hidden) = inputs["X"].shape, inputs["R"].shape
    final = (directions, batch, hidden)
    shapes = {"Y": (steps, *final), "Y_h": final, "Y_c": final}
    graph = helper.make_graph(
        [node],
        "operator",
        [helper.make_tensor_value_info(name, types[name], value.shape) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, types["X"], shapes[name]) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # it also logs what it raises
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))
