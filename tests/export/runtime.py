"""ONNX Runtime on padded batches."""

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


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
