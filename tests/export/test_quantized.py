"""The statements of docs/quantization.md about torch and ONNX Runtime: torch's skips our layers, ONNX Runtime's works."""

import warnings
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged

from .runtime import padded, run


def test_torchs_dynamic_quantization_leaves_our_layers_in_float32() -> None:
    model = nn.Sequential(tt.models.BiLSTM(11, 3, embedding_size=4, hidden_size=4), tt.nn.GRU(3, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        quantized = torch.ao.quantization.quantize_dynamic(model, dtype=torch.qint8)
    assert [type(module) for module in quantized.modules()] == [type(module) for module in model.modules()]
    assert {parameter.dtype for parameter in quantized.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("model", "operator"),
    [
        (lambda: tt.models.BiLSTM(1000, 3, embedding_size=32, hidden_size=32), "DynamicQuantizeLSTM"),
        (lambda: tt.models.BiGRU(1000, 3, embedding_size=32, hidden_size=32), "GRU"),
        (lambda: tt.models.TextCNN(1000, 3, embedding_size=32, channels=16), "ConvInteger"),
    ],
)
def test_onnx_runtime_quantizes_exported_models(model, operator: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = model().eval()
    whole, small = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    tt.export.onnx(made, whole, metadata={"classes": "[]"})
    tt.export.onnx_int8(whole, small)
    assert small.stat().st_size < 0.7 * whole.stat().st_size
    assert operator in {node.op_type for node in onnx.load(small).graph.node}
    x = Ragged.from_lengths(torch.randint(0, 1000, (12,)), [4, 0, 7, 1])
    session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    found = run(session, tokens=padded(x, batch_first=True), lengths=x.lengths)["logits"]
    torch.testing.assert_close(found, made(x), rtol=0, atol=0.03)
    assert session.get_modelmeta().custom_metadata_map["classes"] == "[]"
