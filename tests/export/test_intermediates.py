"""Values inside of exported models, as further outputs: those of `layer.trace`, and of torch's own modules."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.nn import Trace

from .runtime import call_of, close, padded, run, session
from .streams import chunks_of, run_chunks
from .test_onnx import BATCHES, LAYERS


def _drawn(name: str, options: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return layer.eval()


def _named(trace: Trace) -> Iterator[tuple[str, Ragged]]:
    """States and gates by the names that the outputs have."""
    layers, directions = len(trace), len(trace.directions[0])
    for number, row in enumerate(trace.directions):
        for direction, entry in zip(("", "_reverse"), row, strict=False):
            end = f"_l{number}{direction}" if layers * directions > 1 else ""
            for title, value in {**entry.states, **entry.gates}.items():
                yield f"{title}{end}", value


@pytest.mark.parametrize("initial_state", [False, True])
@pytest.mark.parametrize(("name", "options"), LAYERS, ids=str)
def test_every_state_and_gate_of_a_layer_is_that_of_its_trace(
    name: str, options: dict[str, Any], initial_state: bool
) -> None:
    layer = _drawn(name, options)
    runtime = session(tt.export.onnx(layer, intermediates=True, initial_state=initial_state))
    for lengths in BATCHES:
        inputs, x, state, more = call_of(layer, lengths, initial_state=initial_state)
        with torch.no_grad():
            trace = layer.trace(x, state, **more)
        outputs = run(runtime, **inputs)
        for title, expected in _named(trace):
            if (path := f"{name.lower()}.{title}") in outputs:  # h of the last layer is the output
                close(outputs.pop(path), expected.to_padded(length=x.longest + 1, batch_first=True))
        output, final = trace.result
        close(outputs.pop("output"), output.to_padded(length=x.longest + 1, batch_first=layer.batch_first))
        for title, expected in zip(("h_n", "c_n"), final if name == "LSTM" else (final,), strict=False):
            close(outputs.pop(title), expected)
        assert not outputs


_CAUSAL = [entry for entry in LAYERS if not {"bidirectional", "context_size"} & entry[1].keys()]


@pytest.mark.parametrize(("name", "options"), _CAUSAL, ids=str)
def test_on_a_stream_they_are_those_of_the_whole(name: str, options: dict[str, Any]) -> None:
    layer = _drawn(name, options)
    model = nn.Sequential(nn.Embedding(11, 3), layer, tt.nn.Pool("max"))
    runtime = session(tt.export.onnx(model, streaming=True, intermediates=True))
    tokens = torch.randint(11, (2, 17))
    results = list(run_chunks(runtime, tokens, chunks_of(17)))
    with torch.no_grad():
        embedded = model[0](tokens)
        trace = layer.trace(Ragged.from_list(list(embedded)))
    for title, expected in [("0", embedded), *((f"1.{title}", value) for title, value in _named(trace))]:
        joined = np.concatenate([outputs[title] for outputs in results], 1)
        np.testing.assert_allclose(joined, torch.stack(list(expected)), rtol=1e-5, atol=2e-6)
    index = torch.stack([h.max(0).indices for h in trace.result.output])
    np.testing.assert_array_equal(results[-1]["2.index"], index)


@pytest.mark.parametrize("lengths", [[9, 0, 3, 1], [5], [0]], ids=str)
def test_a_textcnn_shows_its_convolutions_and_where_the_maxima_are(lengths: list[int]) -> None:
    torch.manual_seed(0)
    model = tt.models.TextCNN(11, 2, embedding_size=4, channels=6, kernel_sizes=(2, 3)).eval()
    tokens = Ragged.from_lengths(torch.randint(11, (sum(lengths),)), lengths)
    outputs = run(
        session(tt.export.onnx(model, intermediates=True)),
        tokens=padded(tokens, batch_first=True),
        lengths=tokens.lengths,
    )
    size = tokens.longest + 1
    names = {"logits", "embedding", "convolutions"}
    with torch.no_grad():
        embedded = model.embedding(tokens)
        close(outputs["embedding"], embedded.to_padded(length=size, batch_first=True))
        pooled = []
        for place, block in enumerate(model.convolutions.blocks):
            path = f"convolutions.blocks.{place}"
            conv = block.conv(embedded)
            relu = torch.relu(conv)
            close(outputs[f"{path}.conv"], conv.to_padded(length=size, batch_first=True))
            close(outputs[f"{path}.activation"], relu.to_padded(length=size, batch_first=True))
            for row, steps in enumerate(relu):
                if not len(steps):
                    assert (outputs[f"{path}.pool.index"][row] == -1).all()
                    continue
                highest = steps.max(0)  # the first, of equal ones
                expected = torch.stack([(channel == top).nonzero()[0, 0] for channel, top in zip(steps.t(), highest.values, strict=True)])  # fmt: skip
                torch.testing.assert_close(outputs[f"{path}.pool.index"][row], expected)
            pooled.append(model.pool(relu))
            close(outputs[f"{path}.pool"], pooled[-1])
            names |= {f"{path}.{part}" for part in ("conv", "activation", "pool", "pool.index")}
        close(outputs["convolutions"], torch.cat(pooled, 1))
        close(outputs["logits"], model(tokens))
    assert outputs.keys() == names


def test_the_parts_of_a_bidirectional_classifier_stand_by_their_paths() -> None:
    torch.manual_seed(0)
    model = tt.models.BiLSTM(11, 2, embedding_size=4, hidden_size=3, pool="mean").eval()
    proto = tt.export.onnx(model, intermediates=True)
    parts = ("h", "c", "input", "forget", "candidate", "output")
    assert {value.name for value in proto.graph.output} == {
        *("logits", "embedding", "recurrent", "pool"),
        *(f"recurrent.{part}_l0{end}" for part in parts for end in ("", "_reverse")),
    }
    lengths = [4, 0, 7]
    tokens = Ragged.from_lengths(torch.randint(11, (sum(lengths),)), lengths)
    outputs = run(session(proto), tokens=padded(tokens, batch_first=True), lengths=tokens.lengths)
    with torch.no_grad():
        trace = model.recurrent.trace(model.embedding(tokens))
        for title, value in _named(trace):
            close(outputs[f"recurrent.{title}"], value.to_padded(length=8, batch_first=True))
        close(outputs["recurrent"], trace.result.output.to_padded(length=8, batch_first=True))
        close(outputs["pool"], model.pool(trace.result.output))
        close(outputs["logits"], model(tokens))


def test_projected_layers_and_bounded_cells_are_exported_as_loops() -> None:
    torch.manual_seed(0)
    layer = tt.nn.LSTM(3, 5, num_layers=2, proj_size=2, cell_clip=0.1).eval()
    runtime = session(tt.export.onnx(layer, streaming=True, intermediates=True))
    x = torch.randn(1, 9, 3) * 4
    results = list(run_chunks(runtime, x, chunks_of(9)))
    with torch.no_grad():
        trace = layer.trace(Ragged.from_list(list(x)))
    for title, expected in _named(trace):
        if title != "h_l1":
            joined = np.concatenate([outputs[f"lstm.{title}"] for outputs in results], 1)
            np.testing.assert_allclose(joined[0], expected.values, rtol=1e-5, atol=2e-6)
    joined = np.concatenate([outputs["output"] for outputs in results], 1)
    np.testing.assert_allclose(joined[0], trace.result.output.values, rtol=1e-5, atol=2e-6)
    assert abs(trace[1].c.values).max() == pytest.approx(0.1)


def test_the_steps_of_the_largest_values_are_kept_in_their_order() -> None:
    model = nn.Sequential(tt.nn.Linear(1, 1), tt.nn.Pool("top-k", k=3))
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    x = Ragged.from_list([torch.tensor([[1.0], [4.0], [2.0], [4.0], [3.0]]), torch.tensor([[2.0], [1.0]])])
    runtime = session(tt.export.onnx(model, intermediates=True))
    outputs = run(runtime, x=padded(x, batch_first=True), lengths=x.lengths)
    assert outputs["1.index"].tolist() == [[[1], [3], [4]], [[0], [1], [-1]]]
    assert outputs["logits"].tolist() == [[[4.0], [4.0], [3.0]], [[2.0], [1.0], [0.0]]]
    assert outputs["0"].tolist()[1][:2] == [[2.0], [1.0]]


def test_parts_side_by_side_have_outputs_of_their_own() -> None:
    wide = tt.nn.WideConv(3, 2, (1, 2), activation=None)
    model = tt.nn.Parallel(wide, tt.nn.Conv1d(3, 2, 1))
    names = [value.name for value in tt.export.onnx(model, intermediates=True).graph.output]
    assert names == [
        "output",
        "branches.0.blocks.0.conv",
        "branches.0.blocks.1.conv",
        "branches.0",
        "branches.1",
    ]


def test_a_part_may_be_called_as_an_input_is() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x, self.logits = tt.nn.Linear(3, 2), tt.nn.Pool("sum")

        def describe(self) -> tt.nn.description.Series:
            return tt.nn.description.Series.of(x=self.x, logits=self.logits, output=nn.ReLU())

    names = [value.name for value in tt.export.onnx(Named(), intermediates=True).graph.output]
    assert names == ["logits", "x_", "logits_"]
