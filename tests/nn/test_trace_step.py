"""`trace` and `step`: every state and gate against plain equations, and a stream against the whole."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError

from .equations import by_equations, stacked
from .recurrent import LAYERS, VARIANTS, fresh, leaves, name_of

each_layer = pytest.mark.parametrize(("name", "options"), LAYERS + VARIANTS, ids=name_of)
LENGTHS = [4, 0, 1, 6]


def _layer(name: str, options: dict[str, Any], **more: Any) -> nn.Module:
    torch.manual_seed(0)
    return getattr(tt.nn, name)(3, 5, **options, **more).double()


def _batch(lengths: list[int] = LENGTHS) -> Ragged:
    values = torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    return Ragged.from_lengths(values, lengths)


def _state(layer: nn.Module, batch: int | None) -> Any:
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    middle = () if batch is None else (batch,)
    sizes = (layer.proj_size or 5, 5) if layer.spec.has_c else (5,)
    parts = tuple(
        torch.randn(count, *middle, size, dtype=torch.float64, requires_grad=True) for size in sizes
    )
    return parts if layer.spec.has_c else parts[0]


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_trace_follows_the_equations_in_values_and_gradients(
    name: str, options: dict[str, Any], bidirectional: bool
) -> None:
    layer = _layer(name, options, num_layers=2, bidirectional=bidirectional)
    x = _batch()
    state = _state(layer, len(x))
    trace = layer.trace(x, state, pre_activations=True)
    expected = [[stacked(sequences) for sequences in row] for row in by_equations(layer, options, x, state)]
    inputs = [x.values, *leaves(state), *layer.parameters()]
    assert len(trace) == 2
    for number, row in enumerate(expected):
        for direction, right in enumerate(row):
            one = trace[number, direction]
            found = {n: getattr(one, n).values for n in (*one.states, *one.gates)}
            found |= {f"before {n}": part.values for n, part in one.pre_activations.items()}
            assert found.keys() == right.keys()
            for key, values in found.items():
                torch.testing.assert_close(values, right[key])
                # A loss at one step of one sequence.
                losses = (values[7].square().sum(), right[key][7].square().sum())
                torch.testing.assert_close(
                    *(
                        torch.autograd.grad(loss, inputs, retain_graph=True, materialize_grads=True)
                        for loss in losses
                    )
                )


@each_layer
def test_the_result_of_a_trace_is_that_of_a_call_for_every_kind(name: str, options: dict[str, Any]) -> None:
    for batch_first in (False, True):
        layer = _layer(name, options, num_layers=2, bidirectional=True, batch_first=batch_first)
        rows = [row for row in _batch().to_list() if len(row)]
        kinds: list[tuple[Any, int | None, list[int]]] = [
            (_batch(), 4, LENGTHS),
            (torch.randn(5, 2, 3).double(), 5 if batch_first else 2, [2] * 5 if batch_first else [5] * 2),
            (torch.randn(5, 3).double(), None, [5]),
            (pack_sequence(rows, enforce_sorted=False), 3, [4, 1, 6]),
            (pack_sequence(sorted(rows, key=len, reverse=True)), 3, [6, 4, 1]),
        ]
        for x, batch, lengths in kinds:
            for state in (None, _state(layer, batch)):
                trace = layer.trace(x, state)
                called = layer(x, state)
                assert type(trace.result.output) is type(called.output)
                for part, right in zip(leaves(trace.result), leaves(called), strict=True):
                    assert torch.equal(part, right)
                assert trace[0, 1].h.lengths.tolist() == lengths
                # The last layer's h is the output, in the caller's order of sequences.
                output = _ragged(trace.result.output, batch_first)
                both = torch.cat([trace[1, 0].h.values, trace[1, 1].h.values], 1)
                assert torch.equal(both, output.values)
            if isinstance(x, PackedSequence):
                assert trace.result.output.batch_sizes is x.batch_sizes


def _ragged(output: Any, batch_first: bool) -> Ragged:
    if isinstance(output, Ragged):
        return output
    if isinstance(output, PackedSequence):
        return Ragged.from_packed(output)
    if output.dim() == 2:
        return Ragged.from_list([output])
    return Ragged.from_list(list(output.unbind(0 if batch_first else 1)))


def test_one_layer_of_one_direction_answers_for_its_trace() -> None:
    trace = _layer("LSTM", {}).trace(_batch())
    assert trace.c is trace[0, 0].c
    assert trace[0].h is trace.h
    assert set(trace.gates) == {"input", "forget", "candidate", "output"}
    with pytest.raises(AttributeError, match="this trace has no 'reset'; it has h, c, input, forget"):
        trace.reset  # noqa: B018
    with pytest.raises(ShapeError, match="pre_activations=True"):
        trace.pre_activations  # noqa: B018
    with pytest.raises(AttributeError):
        trace.result = None  # type: ignore[misc]
    assert "forget" in repr(trace[0])


def test_a_trace_of_several_asks_which() -> None:
    trace = _layer("GRU", {}, num_layers=2, bidirectional=True).trace(_batch())
    with pytest.raises(AttributeError, match=r"2 layers of 2 directions.*trace\[layer, direction\].update"):
        trace.update  # noqa: B018
    with pytest.raises(ShapeError, match=r"trace\[1, 0\] reads forward"):
        trace[1]
    with pytest.raises(IndexError):
        trace[2, 0]
    assert repr(trace) == "Trace(2 layers x 2 directions)"


def test_an_empty_batch_has_a_trace() -> None:
    for x in (Ragged.empty(3, dtype=torch.float64), _batch([0, 0])):
        layer = _layer("LSTM", {})
        given = fresh(x)
        trace = layer.trace(given, pre_activations=True)
        total = sum(part.values.sum() for part in (trace.c, trace.forget, trace.pre_activations["output"]))
        assert not any(part.any() for part in torch.autograd.grad(total, [given.values, *layer.parameters()]))


@each_layer
@pytest.mark.parametrize("layers", [1, 3])
def test_a_stream_equals_the_whole_in_values_and_gradients(
    name: str, options: dict[str, Any], layers: int
) -> None:
    layer = _layer(name, options, num_layers=layers, batch_first=True)
    for batch in (2, None):
        shape = (2, 6, 3) if batch else (6, 3)
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        state = _state(layer, batch)
        whole = leaves(layer(x, state))
        outputs, carried = [], state
        for x_t in x.unbind(-2):
            y_t, carried = layer.step(x_t, carried)
            outputs.append(y_t)
        stepped = [torch.stack(outputs, -2), *leaves(carried)]
        for part, right in zip(stepped, whole, strict=True):
            assert torch.equal(part, right)
        inputs = [x, *leaves(state), *layer.parameters()]
        found, expected = (
            torch.autograd.grad(sum(part.square().sum() for part in parts), inputs)
            for parts in (stepped, whole)
        )
        torch.testing.assert_close(found, expected)
        with torch.no_grad():
            y_t, _ = layer.step(x.unbind(-2)[0], state)
            assert torch.equal(y_t, outputs[0])


def test_step_without_state_starts_from_zeros() -> None:
    for name, options in LAYERS:
        layer = _layer(name, options)
        x = torch.randn(2, 3, dtype=torch.float64)
        zeros = _state(layer, 2)
        zeros = tuple(map(torch.zeros_like, zeros)) if name == "LSTM" else torch.zeros_like(zeros)
        for recorded in (True, False):
            with torch.set_grad_enabled(recorded):
                for part, right in zip(leaves(layer.step(x)), leaves(layer.step(x, zeros)), strict=True):
                    assert torch.equal(part, right)


def test_step_drops_out_between_layers_as_the_layer_does() -> None:
    layer = _layer("GRU", {}, num_layers=2, dropout=0.5)
    x = torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.manual_seed(1)
        found, _ = layer.step(x)
        torch.manual_seed(1)
        assert torch.equal(found, layer(x[None])[0][0])
        assert not torch.equal(found, layer.eval().step(x)[0])


def test_step_looks_at_the_shape_of_exchanged_parameters() -> None:
    layer = _layer("GRU", {})
    layer.weight_hh_l0 = torch.nn.Parameter(torch.randn(15, 1, dtype=torch.float64))
    for recorded in (True, False):
        with (
            torch.set_grad_enabled(recorded),
            pytest.raises(ShapeError, match=r"weight_hh_l0 has shape \(15, 1\)"),
        ):
            layer.step(X)


# torch's own first use of forward mode compiles its formulas with what it calls deprecated.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is not supported")
def test_step_keeps_forward_mode_tangents_without_recording() -> None:
    layer = _layer("RNN", {})
    x, tangent = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        _, found = torch.autograd.forward_ad.unpack_dual(layer.step(dual)[0])
    _, expected = torch.func.jvp(lambda x: layer(x[None]).output[0], (x,), (tangent,))
    torch.testing.assert_close(found, expected)


def test_layers_and_cells_take_torchs_keywords() -> None:
    layer, cell = _layer("LSTM", {}), tt.nn.GRUCell(3, 5).double()
    state = _state(layer, 2)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert torch.equal(layer(input=x, hx=state).output, layer(x, state).output)
    assert torch.equal(cell(input=x[0], hx=state[0][0]), cell(x[0], state[0][0]))


X = torch.zeros(2, 3, dtype=torch.float64)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: _layer("LSTM", {}, bidirectional=True).step(X), ShapeError, "bidirectional"),
        (lambda: _layer("GRU", {}).step(X[None]), ShapeError, r"\(I,\).*shape \(1, 2, 3\)"),
        (lambda: _layer("GRU", {}).step([X]), ShapeError, "got list"),
        (lambda: _layer("GRU", {}).step(X[:, :2]), ShapeError, r"GRU expects 3 features"),
        (lambda: _layer("GRU", {}).step(X.float()), InputTypeError, "torch.float32.*torch.float64"),
        (
            lambda: _layer("GRU", {}).step(X, torch.zeros(1, 3, 5).double()),
            ShapeError,
            r"expected \(1, 2, 5\)",
        ),
        (
            lambda: _layer("GRU", {}).step(X[0], torch.zeros(1, 1, 5).double()),
            ShapeError,
            r"expected \(1, 5\)",
        ),
        (
            lambda: _layer("LSTM", {}).step(X, torch.zeros(1, 2, 5).double()),
            InputTypeError,
            "pair of tensors",
        ),
        (lambda: _layer("GRU", {}).step(X, torch.zeros(1, 2, 5)), InputTypeError, "h_0 is torch.float32"),
    ],
)
def test_step_says_what_is_wrong(call: Any, error: type[Exception], words: str, recorded: bool) -> None:
    with torch.set_grad_enabled(recorded), pytest.raises(error, match=words):
        call()
