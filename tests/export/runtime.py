"""ONNX Runtime on padded batches."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from throughtime import Ragged


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(session: onnxruntime.InferenceSession, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {name: value.numpy() for name, value in inputs.items()})
    return {name: torch.from_numpy(np.array(value)) for name, value in zip(names, found, strict=True)}


def padded(x: Ragged, *, batch_first: bool) -> torch.Tensor:
    """Padded with what must not matter, one step longer than need be."""
    length = x.longest + 1
    fill = 1 if x.dtype == torch.int64 else float("nan")
    return x.to_padded(fill, length=length, batch_first=batch_first).contiguous()


def call_of(
    layer: Any, lengths: list[int], *, initial_state: bool
) -> tuple[dict[str, torch.Tensor], Ragged, Any, dict[str, torch.Tensor]]:
    """Draw sequences for a recurrent layer: the model's inputs, and those of the layer: x, state and the others."""
    x = Ragged.from_lengths(torch.randn(sum(lengths), 3), lengths)
    inputs = {"x": padded(x, batch_first=layer.batch_first), "lengths": torch.tensor(lengths)}
    state, more = None, {}
    is_lstm = type(layer).__name__ == "LSTM"
    if initial_state:
        count = layer.num_layers * (2 if layer.bidirectional else 1)
        sizes = (layer.proj_size or 4, 4)[: 2 if is_lstm else 1]
        states = [torch.randn(count, len(lengths), size) for size in sizes]
        inputs |= dict(zip(("h_0", "c_0"), states, strict=False))
        state = tuple(states) if is_lstm else states[0]
    if layer.context_size:
        more["context"] = inputs["context"] = torch.randn(len(lengths), layer.context_size)
    return inputs, x, state, more


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
