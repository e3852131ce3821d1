"""Streaming ONNX models: in chunks they compute what the model does of the whole, or are refused by name."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, NotCausalError, ShapeError, ThroughtimeError

from ..models.named import BUILT, Built
from ..nn.contract import CASES, FEATURES, Case, output_of
from .runtime import session
from .streams import chunks_of, run_chunks
from .test_onnx import LAYERS

LENGTH, BATCH = 23, 2

# Models that cannot stream, with the part that the error names and its reason. All others can.
REFUSED = {
    "birnn": r"recurrent \(RNN\) is bidirectional: .* use bidirectional=False",
    "bigru": r"recurrent \(GRU\) is bidirectional: .* use bidirectional=False",
    "bilstm": r"recurrent \(LSTM\) is bidirectional: .* use bidirectional=False",
    "charcnn": r"quantized \(OneHotSteps\) cuts or fills up whole texts, .* use a recurrent model or a TCN",
    "fcn": r"body\.blocks\.0\.conv \(Conv1d\) has 2 steps of padding at the end .* use padding='causal'",
    "inceptiontime": r"members.*\.conv \(Conv1d\) has 2 steps of padding at the end .* use padding='causal'",
    "lstmfcn": r"body\.blocks\.0\.conv \(Conv1d\) has 4 steps of padding at the end .* use padding='causal'",
    "ngrams": r"output \(HashedLinear\) counts the n-grams of the whole sequence, .* use a recurrent model",
    "resnet": r"body\.0\.body\.0\.conv \(Conv1d\) has 2 steps of padding at the end .* use padding='causal'",
    "rocket": r"features\.branches\.0 \(MiniRocket\) pools the whole sequence, .* use a recurrent model or a TCN",
    "textcnn": r"convolutions\.blocks\.0\.conv \(Conv1d\) has 2 steps of padding at the end .* use padding='c",
}


def of_whole(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the model makes of sequences (B, L, …): (B, D), or (B, L, D)."""
    with torch.no_grad():
        y = output_of(model, Ragged.from_list(list(x)))
    return torch.stack(list(y)) if isinstance(y, Ragged) else y


def check_chunks(model: nn.Module, runtime: Any, x: torch.Tensor) -> None:
    """Each chunk gives the outputs of its steps, or of the steps so far."""
    chunks, end = chunks_of(x.shape[1]), 0
    for count, outputs in zip(chunks, run_chunks(runtime, x, chunks), strict=True):
        end += count
        whole = of_whole(model, x[:, :end])
        if "output" in outputs:
            np.testing.assert_allclose(outputs["output"], whole[:, end - count :], rtol=1e-5, atol=2e-6)
        else:
            np.testing.assert_allclose(outputs["logits"], whole, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("intermediates", [False, True])
@pytest.mark.parametrize("built", BUILT.values(), ids=str)
def test_a_model_by_name_streams_or_is_refused_by_name(built: Built, intermediates: bool) -> None:
    model = built.make().float()
    if built.name in REFUSED:
        with pytest.raises(ThroughtimeError, match=f"^{REFUSED[built.name]}"):
            tt.export.onnx(model, streaming=True, intermediates=intermediates)
        return
    runtime = session(tt.export.onnx(model, streaming=True, intermediates=intermediates))
    batch = built.batch([LENGTH] * BATCH)
    check_chunks(model, runtime, torch.stack(list(batch if built.kind == "tokens" else batch.float())))


@pytest.mark.parametrize("pool", ["max", "mean", "std", "sum", "last"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_a_classifier_returns_after_each_chunk_the_logits_of_the_sequence_so_far(
    cell: str, pool: str
) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, cell)(3, 5, num_layers=2)
    model = nn.Sequential(nn.Embedding(11, 3), layer, tt.nn.Pool(pool), tt.nn.Linear(5, 2)).eval()
    for intermediates in (False, True):
        runtime = session(tt.export.onnx(model, streaming=True, intermediates=intermediates))
        check_chunks(model, runtime, torch.randint(11, (BATCH, LENGTH)))


@pytest.mark.parametrize("intermediates", [False, True])
@pytest.mark.parametrize(("name", "options"), LAYERS, ids=str)
def test_a_recurrent_layer_streams_from_the_state_that_it_learned(
    name: str, options: dict[str, Any], intermediates: bool
) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    layer.eval()
    if layer.bidirectional:
        with pytest.raises(NotCausalError, match=f"{name} is bidirectional"):
            tt.export.onnx(layer, streaming=True, intermediates=intermediates)
        return
    runtime = session(tt.export.onnx(layer, streaming=True, intermediates=intermediates))
    x = torch.randn(BATCH, LENGTH, 3)
    if not layer.context_size:
        check_chunks(layer, runtime, x)
        return
    context = torch.randn(BATCH, layer.context_size)
    results = run_chunks(runtime, x, chunks_of(LENGTH), context=context)
    with torch.no_grad():
        whole = layer(Ragged.from_list(list(x)), context=context).output
    joined = np.concatenate([outputs["output"] for outputs in results], 1)
    np.testing.assert_allclose(joined, torch.stack(list(whole)), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_streams_or_is_refused_by_its_path(case: Case) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), case.make()).eval()
    try:
        proto = tt.export.onnx(model, streaming=True)
    except ThroughtimeError as error:
        assert re.match(r"1\b", str(error))  # noqa: PT017
        return
    check_chunks(model, session(proto), torch.randn(BATCH, LENGTH, FEATURES))


def test_convolutions_keep_what_their_windows_reach() -> None:
    torch.manual_seed(0)
    stack = tt.nn.ConvStack(4, [6, 4], 3, padding="causal", dilations=(1, 4), groups=2, norm="batch")
    model = nn.Sequential(stack, tt.nn.Conv1d(4, 2, 1)).eval()
    proto = tt.export.onnx(model, streaming=True)
    shapes = {name: array.shape for name, array in tt.export.stream_state(proto, 5).items()}
    assert shapes == {"0.blocks.0.conv.x_0": (5, 4, 2), "0.blocks.1.conv.x_0": (5, 6, 8)}
    check_chunks(model, session(proto), torch.randn(BATCH, LENGTH, 4))


def test_the_largest_of_values_that_are_all_below_zero_is_below_zero() -> None:
    model = nn.Sequential(tt.nn.Linear(1, 1), tt.nn.Pool("max"))
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    runtime = session(tt.export.onnx(model, streaming=True, intermediates=True))
    x = torch.tensor([-3.0, -1.0, -1.0, -2.0]).view(1, 4, 1)
    results = list(run_chunks(runtime, x, [1, 1, 2]))
    assert [float(outputs["logits"].item()) for outputs in results] == [-3, -1, -1]
    assert [int(outputs["1.index"].item()) for outputs in results] == [0, 1, 1]


def test_sequences_begin_at_any_time_in_one_batch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Embedding(11, 3), tt.nn.GRU(3, 4, learn_initial_state=True), tt.nn.Pool("mean")
    ).eval()
    nn.init.normal_(model[1].initial_h)
    runtime = session(tt.export.onnx(model, streaming=True))
    x = torch.randint(11, (2, 6))
    names = [output.name for output in runtime.get_outputs()]
    results = runtime.run(None, {"tokens": x[:1, :4].numpy(), **tt.export.stream_state(runtime)})
    first = dict(zip(names, results, strict=True))
    new = tt.export.stream_state(runtime)
    both = {
        name: np.concatenate(
            [first[name.removesuffix("_0") + "_n"], new[name]], 1 if name.endswith("h_0") else 0
        )
        for name in new
    }
    (logits, *_) = runtime.run(None, {"tokens": x[:, 4:].numpy(), **both})
    np.testing.assert_allclose(logits[:1], of_whole(model, x[:1]), rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(logits[1:], of_whole(model, x[1:, 4:]), rtol=1e-5, atol=2e-6)


def test_the_metadata_describe_the_states(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = tt.models.LSTMModel(7, 2, hidden_size=4, num_layers=2, pool="mean")
    proto = tt.export.onnx(model, path, streaming=True, metadata={"made": "here"})
    notes = {entry.key: entry.value for entry in proto.metadata_props}
    assert notes["made"] == "here"
    states = json.loads(notes["states"])
    assert states[0] == {
        "input": "recurrent.h_0",
        "output": "recurrent.h_n",
        "shape": [2, "batch", 4],
        "dtype": "float32",
        "description": "State h of each layer.",
    }
    inputs = {value.name: value for value in proto.graph.input}
    outputs = {value.name: value for value in proto.graph.output}
    assert [*inputs] == ["tokens", *(state["input"] for state in states)]
    assert [*outputs] == ["logits", *(state["output"] for state in states)]
    for state in states:
        for value in (inputs[state["input"]], outputs[state["output"]]):
            tensor = value.type.tensor_type
            sizes = [size.dim_param or size.dim_value for size in tensor.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            assert (sizes, dtype) == (state["shape"], np.dtype(state["dtype"]))
    for source in (proto, path, str(path), session(proto)):
        state = tt.export.stream_state(source, 3)
        assert {name: (array.shape, array.dtype.name) for name, array in state.items()} == {
            "recurrent.h_0": ((2, 3, 4), "float32"),
            "recurrent.c_0": ((2, 3, 4), "float32"),
            "pool.sum_0": ((3, 4), "float32"),
            "steps_0": ((3, 1), "int64"),
        }
        assert not any(array.any() for array in state.values())


def test_what_cannot_be_asked_of_streams() -> None:
    layer = tt.nn.LSTM(3, 4)
    with pytest.raises(ShapeError, match="with streaming all states are inputs"):
        tt.export.onnx(layer, streaming=True, initial_state=True)
    with pytest.raises(InputTypeError, match="export it with streaming=True"):
        tt.export.stream_state(tt.export.onnx(layer))
    with pytest.raises(InputTypeError, match="got LSTM"):
        tt.export.stream_state(layer)
    with pytest.raises(ShapeError, match="at least 1, got 0"):
        tt.export.stream_state(tt.export.onnx(layer, streaming=True), 0)
    top = nn.Sequential(tt.nn.Linear(3, 3), tt.nn.Pool("top-k", k=2))
    with pytest.raises(NotCausalError, match=r"1 \(Pool\) keeps several steps .* use Pool\('max'\)"):
        tt.export.onnx(top, streaming=True)
    for options in (
        {"padding": "causal", "stride": 2},
        {},
        {"padding": "causal", "padding_mode": "replicate"},
    ):
        with pytest.raises(ShapeError, match="Conv1d: on streams only"):
            tt.export.onnx(tt.nn.Conv1d(3, 3, 2, **options), streaming=True)


def test_two_parts_of_one_path_keep_two_states() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = tt.nn.GRU(3, 3), tt.nn.GRU(3, 3)

        def describe(self) -> tt.nn.description.Series:
            return tt.nn.description.Series((("gru", self.first), ("gru", self.second)))

        def forward(self, x: Ragged) -> Ragged:
            return self.describe()(x)

    torch.manual_seed(0)
    model = Twice().eval()
    for intermediates in (False, True):
        runtime = session(tt.export.onnx(model, streaming=True, intermediates=intermediates))
        check_chunks(model, runtime, torch.randn(BATCH, LENGTH, 3))
