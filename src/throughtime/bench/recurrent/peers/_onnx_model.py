"""The case as an ONNX model of one standard operator, for the runtimes that read such models."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from throughtime.bench.recurrent.case import GATES, Case
from throughtime.ragged import Ragged

# Where ONNX's gates (LSTM i o f c, GRU z r h) stand in torch's order.
_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def onnx_model(case: Case) -> bytes:
    """Return a serialized model: X (L, B, I) in, ragged also lengths (B,) int32; Y (L, 1, B, H) out.

    Equal lengths are not told: OpenVINO runs a model that takes lengths step by step, 2 to 6 times slower.
    """
    shape, weights = case.shape, case.weights
    order = _ORDER[case.cell]

    def reordered(name: str) -> np.ndarray:
        parts = weights[name].chunk(GATES[case.cell])
        return np.concatenate([parts[gate].numpy() for gate in order])

    constants = {
        "W": reordered("weight_ih")[None],
        "R": reordered("weight_hh")[None],
        "B": np.concatenate([reordered("bias_ih"), reordered("bias_hh")])[None],
    }
    options: dict[str, Any] = {"linear_before_reset": 1} if case.cell == "GRU" else {}
    ragged = case.kind == "ragged"
    tokens: tuple[int, ...] = (shape.steps, shape.batch, shape.inputs)
    inputs = {"X": (TensorProto.FLOAT, tokens)}
    if ragged:
        inputs["lengths"] = (TensorProto.INT32, (shape.batch,))
    node = helper.make_node(
        case.cell,
        ["X", "W", "R", "B", *(["lengths"] if ragged else [])],
        ["Y"],
        hidden_size=shape.hidden,
        **options,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, (shape.steps, 1, shape.batch, shape.hidden))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


def inputs_of(case: Case) -> dict[str, np.ndarray]:
    """Return what the model is fed with."""
    ragged = Ragged.from_lengths(case.values, case.lengths)
    padded = ragged.to_padded(length=case.shape.steps, batch_first=False).contiguous()
    lengths = {"lengths": case.lengths.int().numpy()} if case.kind == "ragged" else {}
    return {"X": padded.numpy(), **lengths}


def tokens_of(y: Tensor, case: Case) -> Tensor:
    """Return the real tokens of the model's output, end to end."""
    return Ragged.from_padded(y[:, 0], lengths=case.lengths, batch_first=False).values
