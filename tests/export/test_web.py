"""Models in ONNX Runtime Web under Node.js: streams chunk by chunk, and runs, equal to ONNX Runtime in Python."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import throughtime as tt

from .streams import chunks_of

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "live/node_modules/onnxruntime-web/dist/ort.node.min.mjs"
LENGTH, BATCH = 9, 2

Call = Mapping[str, np.ndarray]


def _streams() -> dict[str, nn.Module]:
    causal = tt.nn.ConvStack(3, [4, 4], 2, padding="causal", norm="layer", activation=nn.GELU())
    return {
        "lstm": tt.models.LSTMModel(11, 2, embedding_size=4, hidden_size=5, pool="mean"),
        "gru": tt.models.GRUModel(11, 2, embedding_size=4, hidden_size=5, per_step=True),
        "tcn": tt.models.TCN(3, 2, channels=(4, 4), kernel_size=2, per_step=True),
        "language": tt.models.LanguageModel(40, embedding_size=16, hidden_size=16, cutoffs=(5,)),
        "forecast": tt.models.ForecastModel(3, hidden_size=4),
        "attention": nn.Sequential(causal, tt.nn.AttentionPool(4), tt.nn.Linear(4, 2)),
    }


def _wholes() -> dict[str, nn.Module]:
    return {
        "textcnn": tt.models.TextCNN(11, 2, embedding_size=4, channels=4),
        "charcnn": tt.models.CharCNN(11, 2, length=130, channels=3, hidden_size=4),
        "inceptiontime": tt.models.InceptionTime(3, 2, members=2, depth=3, channels=2, kernel_sizes=(6, 3)),
        "rocket": tt.models.Rocket(3, 2, features=672, statistics="all"),
    }


def _drawn(proto: onnx.ModelProto) -> np.ndarray:
    if proto.graph.input[0].name == "tokens":
        return torch.randint(11, (BATCH, LENGTH)).numpy()
    return torch.randn(BATCH, LENGTH, 3).numpy()


def _calls(proto: onnx.ModelProto, *, streaming: bool) -> list[Call]:
    name, x = proto.graph.input[0].name, _drawn(proto)
    if not streaming:
        return [{name: x, "lengths": np.array([LENGTH, 5])}]
    return [{name: part} for part in np.split(x, np.cumsum(chunks_of(LENGTH))[:-1], axis=1)]


def _predictor() -> tuple[onnx.ModelProto, list[Call]]:
    """A run whose model scales its series itself, in float64, and fills in missing values."""
    random = np.random.default_rng(0)
    series = 1e5 + random.normal(size=(16, 3, LENGTH)) + np.arange(16)[:, None, None] % 2
    series[random.random(series.shape) < 0.2] = np.nan
    rows = {"x": list(series), "kind": ["a", "b"] * 8}
    options = {"model": "gru", "hidden_size": 4, "missing": "interpolate", "calibrate": True}
    predictor = tt.fit(rows, series="x", target="kind", epochs=1, progress=False, **options)
    steps = series.transpose(0, 2, 1)[:BATCH]
    return predictor.export(), [{"x": steps, "lengths": np.array([LENGTH, 5])}]


def _in_python(proto: onnx.ModelProto, calls: Sequence[Call]) -> list[dict[str, np.ndarray]]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    is_stream = "states" in session.get_modelmeta().custom_metadata_map
    state = tt.export.stream_state(session, BATCH) if is_stream else {}
    results = []
    for call in calls:
        results.append(dict(zip(names, session.run(names, {**call, **state}), strict=True)))
        state = {name: results[-1][name.removesuffix("_0") + "_n"] for name in state}
    return results


def _as_json(array: np.ndarray) -> dict[str, Any]:
    numbers = [None if number != number else number for number in array.ravel().tolist()]  # NaN has no JSON
    return {"type": array.dtype.name, "data": numbers, "dims": list(array.shape)}


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.skipif(
    not PACKAGE.exists(), reason="onnxruntime-web is missing; `make live` installs it, with npm"
)
def test_results_are_those_of_python(tmp_path: Path) -> None:
    torch.manual_seed(0)
    protos = {name: tt.export.onnx(model, streaming=True) for name, model in _streams().items()}
    protos |= {name: tt.export.onnx(model) for name, model in _wholes().items()}
    calls = {name: _calls(proto, streaming=name in _streams()) for name, proto in protos.items()}
    protos["run"], calls["run"] = _predictor()
    cases = []
    for name, proto in protos.items():
        (tmp_path / f"{name}.onnx").write_bytes(proto.SerializeToString())
        given = [{key: _as_json(value) for key, value in call.items()} for call in calls[name]]
        cases.append({"path": str(tmp_path / f"{name}.onnx"), "batch": BATCH, "calls": given})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        ["node", HERE / "web.mjs", PACKAGE, tmp_path / "cases.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, found in zip(protos, json.loads(done.stdout), strict=True):
        for outputs, expected in zip(found, _in_python(protos[name], calls[name]), strict=True):
            assert outputs.keys() == expected.keys()
            for key, value in expected.items():
                array = np.array(outputs[key]["data"], np.float64).reshape(outputs[key]["dims"])
                np.testing.assert_allclose(array, value, rtol=1e-5, atol=1e-5, err_msg=f"{name}: {key}")
