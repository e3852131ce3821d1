"""Reset flags in every kind of input and every way to run a layer: the same bits as of split sequences.

The contract (`test_contract.py`) compares values and gradients of every layer with a loop that splits.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

from .recurrent import gradients, leaves

STEPS, BATCH, FEATURES = 23, 4, 3


class _Linear(nn.Module):
    """A transition of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.from_x, self.from_h = nn.Linear(FEATURES, 5), nn.Linear(5, 5)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(self.from_x(x) + self.from_h(h))


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "RNN": lambda **given: tt.nn.RNN(FEATURES, 5, **given),
    "LSTM": lambda **given: tt.nn.LSTM(FEATURES, 5, num_layers=2, bidirectional=True, proj_size=2, **given),
    "LSTM learned": lambda **given: tt.nn.LSTM(FEATURES, 5, learn_initial_state=True, peephole=True, **given),
    "GRU": lambda **given: tt.nn.GRU(FEATURES, 5, num_layers=2, **given),
    "GRU before": lambda **given: tt.nn.GRU(FEATURES, 5, reset_after=False, bidirectional=True, **given),
    "MGU": lambda **given: tt.nn.MGU(FEATURES, 5, **given),
    "LayerNormLSTM": lambda **given: tt.nn.LayerNormLSTM(FEATURES, 8, **given),
    "MinGRU": lambda **given: tt.nn.MinGRU(FEATURES, 5, bidirectional=True, **given),
    "MinLSTM": lambda **given: tt.nn.MinLSTM(FEATURES, 5, **given),
    "QRNN": lambda **given: tt.nn.QRNN(FEATURES, 5, kernel_size=3, num_layers=2, bidirectional=True, **given),
    "SRU": lambda **given: tt.nn.SRU(FEATURES, 5, num_layers=2, **given),
    "Recurrence": lambda **given: tt.nn.Recurrence(
        _Linear().double(), state=nn.Parameter(torch.ones(5).double()), **given
    ),
    "Recurrence of a cell": lambda **given: tt.nn.Recurrence(
        tt.nn.LSTMCell(FEATURES, 5), lambda state: state[0], **given
    ),
    "Bidirectional": lambda **given: tt.nn.Bidirectional(tt.nn.GRU(FEATURES, 5, **given)),
}
SAME_BITS = {name: make for name, make in LAYERS.items() if name != "Recurrence"}
each_layer = pytest.mark.parametrize("name", LAYERS)


def _layer(name: str, dtype: torch.dtype = torch.float32, **given: Any) -> nn.Module:
    torch.manual_seed(0)
    layer = LAYERS[name](**given).to(torch.float64 if name == "Recurrence" else dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5)
    return layer


def _dtype(layer: nn.Module) -> torch.dtype:
    return next(layer.parameters()).dtype


def _problem(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Tokens (L, B, I) and flags (L, B), the third sequence without any."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, BATCH, FEATURES, generator=generator, dtype=torch.float64).to(_dtype(layer))
    flags = torch.rand(STEPS, BATCH, generator=generator) < 0.2
    flags[:, 2] = False
    flags[0] = torch.tensor([True, False, False, True])
    return x, flags


def _split(layer: nn.Module, x: Tensor, flags: Tensor) -> Tensor:
    """The outputs of sequences split at flags, each piece by itself."""
    columns = []
    for b in range(x.shape[1]):
        cuts = [t for t in range(1, len(x)) if flags[t, b]]
        pieces = [Ragged.from_list([piece]) for piece in torch.tensor_split(x[:, b], cuts)]
        columns.append(torch.cat([layer(piece).output.values for piece in pieces]))
    return torch.stack(columns, 1)


KINDS: dict[str, Callable[[Tensor], Any]] = {
    "time-major": lambda x: x,
    "batch-first": lambda x: x.transpose(0, 1).contiguous(),
    "ragged": lambda x: Ragged.from_list(list(x.unbind(1))),
    "packed": lambda x: nn.utils.rnn.pack_sequence(list(x.unbind(1)), enforce_sorted=False),
}
BACK: dict[str, Callable[[Any], Tensor]] = {
    "time-major": lambda y: y,
    "batch-first": lambda y: y.transpose(0, 1),
    "ragged": lambda y: torch.stack(list(y), 1),
    "packed": lambda y: nn.utils.rnn.pad_packed_sequence(y)[0],
}


@each_layer
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recorded", [True, False])
def test_the_bits_of_split_sequences(name: str, kind: str, recorded: bool) -> None:
    layer = _layer(name, **({"batch_first": True} if kind == "batch-first" else {}))
    x, flags = _problem(layer)
    with torch.set_grad_enabled(recorded):
        found = BACK[kind](layer(KINDS[kind](x), reset=KINDS[kind](flags)).output)
        expected = _split(layer, x, flags)
    if name in SAME_BITS:
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected)


@each_layer
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_of_split_sequences(name: str, kind: str) -> None:
    layer = _layer(name, torch.float64, **({"batch_first": True} if kind == "batch-first" else {}))
    x, flags = _problem(layer)
    wanted = [x.requires_grad_(), *layer.parameters()]
    found = gradients([BACK[kind](layer(KINDS[kind](x), reset=KINDS[kind](flags)).output)], wanted)
    torch.testing.assert_close(found, gradients([_split(layer, x, flags)], wanted))


@each_layer
def test_tokens_before_a_flag_have_no_gradient_and_no_influence(name: str) -> None:
    layer = _layer(name)
    x, flags = _problem(layer)
    flags[:], flags[9] = False, True
    output = layer(x.requires_grad_(), reset=flags).output
    output[9:].square().sum().backward()
    assert not x.grad[:9].any()
    assert x.grad[9:].any()
    other = torch.cat((x.detach()[:9] + 1, x.detach()[9:]))
    assert torch.equal(layer(other, reset=flags).output[9:], output[9:])


@each_layer
def test_no_flags_change_nothing(name: str) -> None:
    layer = _layer(name)
    x, flags = _problem(layer)
    found, expected = layer(x, reset=torch.zeros_like(flags)), layer(x)
    assert all(torch.equal(*pair) for pair in zip(_tensors(found), _tensors(expected), strict=True))


def _tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tuple(result)) if isinstance(leaf, Tensor)]


@each_layer
def test_one_sequence_without_a_batch(name: str) -> None:
    layer = _layer(name)
    x, flags = _problem(layer)
    _, state = layer(x[:, 0])
    found, expected = (
        layer(x[:, 0], state, reset=flags[:, 0]),
        layer(x[:, :1], _batched(state, name), reset=flags[:, :1]),
    )
    assert torch.equal(found.output, expected.output[:, 0])
    for a, b in zip(_tensors(found)[1:], _tensors(expected)[1:], strict=True):
        assert torch.equal(a, b.view(a.shape))


def _batched(state: Any, name: str) -> Any:
    def batched(part: Tensor) -> Tensor:
        # Windows of a QRNN are (k − 1, D), and states of a recurrence (H,).
        first = name.startswith("Recurrence") or part.shape[-1] in {FEATURES, 10}
        return part if name == "Bidirectional" else part.unsqueeze(0 if first else 1)

    return torch.utils._pytree.tree_map(batched, state)


def test_the_backward_direction_takes_its_state_at_the_end_and_leaves_it_at_the_start() -> None:
    layer = _layer("LSTM")
    x, flags = _problem(layer)
    h, c = torch.randn(4, BATCH, 2), torch.randn(4, BATCH, 5)
    output, (h_n, c_n) = layer(x, (h, c), reset=flags)
    for b in range(BATCH):
        cuts = [t for t in range(1, STEPS) if flags[t, b]]
        pieces = list(torch.tensor_split(x[:, b : b + 1], cuts))
        for forward, backward, piece in (
            (not flags[0, b], len(pieces) == 1, pieces[0]),
            (len(pieces) == 1 and not flags[0, b], True, pieces[-1]),
        ):
            mask = torch.tensor([forward, backward] * 2).view(4, 1, 1)
            expected, (h_end, c_end) = layer(piece, tuple(part[:, b : b + 1] * mask for part in (h, c)))
            if piece is pieces[0]:
                assert torch.equal(output[: len(piece), b], expected[:, 0])
                assert torch.equal(h_n[1::2, b], h_end[1::2, 0])
                assert torch.equal(c_n[1::2, b], c_end[1::2, 0])
            if piece is pieces[-1]:
                assert torch.equal(output[-len(piece) :, b], expected[:, 0])
                assert torch.equal(h_n[0::2, b], h_end[0::2, 0])
                assert torch.equal(c_n[0::2, b], c_end[0::2, 0])


STEPPED = [name for name in LAYERS if name not in {"LSTM", "GRU before", "MinGRU", "QRNN", "Bidirectional"}]


@pytest.mark.parametrize("name", STEPPED)
@pytest.mark.parametrize("recorded", [True, False])
def test_step_by_step(name: str, recorded: bool) -> None:
    layer = _layer(name, torch.float64)
    x, flags = _problem(layer)
    with torch.set_grad_enabled(recorded):
        expected, end = layer(x, reset=flags)
        state, outputs = None, []
        for x_t, reset in zip(x, flags, strict=True):
            y_t, state = layer.step(x_t, state, reset=reset)
            outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs), expected)
    torch.testing.assert_close(state, end)


@pytest.mark.parametrize("name", [name for name in STEPPED if not name.startswith("Recurrence")])
def test_step_of_one_stream(name: str) -> None:
    layer = _layer(name)
    x, _ = _problem(layer)
    _, state = layer.step(x[0, 0])
    for reset in (True, torch.tensor(True)):
        assert torch.equal(layer.step(x[1, 0], state, reset=reset)[0], layer.step(x[1, 0])[0])
    assert torch.equal(layer.step(x[1, 0], state, reset=False)[0], layer.step(x[1, 0], state)[0])


@pytest.mark.parametrize("name", ["LSTM", "LSTM learned", "GRU", "GRU before", "LayerNormLSTM"])
def test_traces_have_the_states_and_gates_of_split_sequences(name: str) -> None:
    layer = _layer(name, torch.float64)
    x, flags = _problem(layer)
    trace = layer.trace(x, reset=flags, pre_activations=True, gradients=True)
    assert torch.equal(trace.result.output, layer(x, reset=flags).output)
    pieces = [
        Ragged.from_list([piece])
        for b in range(BATCH)
        for piece in torch.tensor_split(x[:, b], [t for t in range(1, STEPS) if flags[t, b]])
    ]
    alone = [layer.trace(piece, pre_activations=True, gradients=True) for piece in pieces]
    torch.stack([trace.result.output.square().sum()]).sum().backward()
    torch.stack([one.result.output.values.square().sum() for one in alone]).sum().backward()
    for place in ((number, d) for number in range(layer.num_layers) for d in range(1 + layer.bidirectional)):
        found, ones = trace[place], [one[place] for one in alone]
        for kind in ("states", "gates", "pre_activations"):
            for key, values in getattr(found, kind).items():
                expected = torch.cat([getattr(one, kind)[key].values for one in ones])
                assert values.lengths.tolist() == [STEPS] * BATCH
                torch.testing.assert_close(values.values, expected)
        for key in ("h", "c_along_c") if layer.spec.has_c else ("h",):
            expected = torch.cat([getattr(one.gradients, key).values for one in ones])
            torch.testing.assert_close(getattr(found.gradients, key).values, expected)


@pytest.mark.parametrize("name", ["MinLSTM", "QRNN", "SRU", "Recurrence"])
def test_traces_of_other_layers(name: str) -> None:
    layer = _layer(name, torch.float64)
    x, flags = _problem(layer)
    trace = layer.trace(x, reset=flags)
    torch.testing.assert_close(trace.result.output, layer(x, reset=flags).output)
    states = trace.states if isinstance(trace.states, Ragged) else trace.states[0, 0]["h"]
    assert states.lengths.tolist() == [STEPS] * BATCH


def test_a_context_is_that_of_the_sequence() -> None:
    layer = tt.nn.GRU(FEATURES, 5, context_size=2, num_layers=2)
    x, flags = _problem(layer)
    context = torch.randn(BATCH, 2, requires_grad=True)
    found = layer(x, context=context, reset=flags).output
    expected = torch.zeros_like(found)
    for b in range(BATCH):
        cuts = [t for t in range(1, STEPS) if flags[t, b]]
        pieces = torch.tensor_split(x[:, b], cuts)
        expected[:, b] = torch.cat([layer(piece, context=context[b]).output for piece in pieces])
    assert torch.equal(found, expected)
    torch.testing.assert_close(gradients([found], [context]), gradients([expected], [context]))


def test_truncated_windows_with_flags() -> None:
    layer = _layer("GRU", torch.float64)
    values, marks = _problem(layer)
    x, flags = KINDS["ragged"](values), KINDS["ragged"](marks)
    for k1, k2 in ((5, 5), (4, 7)):
        carried, outputs = tt.bptt.Carried(), []
        for window in tt.bptt.windows(x, k1=k1, k2=k2):
            with carried.carry(layer, window):
                outputs.append(window.counted(layer(window.of(x), reset=window.of(flags)).output))
        torch.testing.assert_close(Ragged.cat_time(outputs).values, layer(x, reset=flags).output.values)


@pytest.mark.parametrize("name", ["LSTM learned", "GRU"])
def test_checkpointed_with_flags(name: str) -> None:
    layer = _layer(name, torch.float64)
    values, marks = _problem(layer)
    x, flags = KINDS["ragged"](values), KINDS["ragged"](marks)
    wanted = [x.values.requires_grad_(), *layer.parameters()]
    found, expected = tt.bptt.checkpointed(layer, x, reset=flags, segment=4), layer(x, reset=flags)
    assert torch.equal(found.output.values, expected.output.values)
    torch.testing.assert_close(gradients(leaves(found), wanted), gradients(leaves(expected), wanted))


def test_diagnoses_name_steps_of_whole_sequences() -> None:
    layer = tt.nn.GRU(FEATURES, 5)
    x, flags = _problem(layer)
    flags[:, 1] = False
    flags[7, 1] = True
    x[9, 1] = float("inf")
    found = tt.diagnose.locate_not_finite(layer, lambda: layer(x, reset=flags).output.sum())
    assert found == "GRU: the input is not finite, first at step 9 of sequence 1"


def test_gradient_norms_end_at_flags() -> None:
    layer = tt.nn.GRU(FEATURES, 5)
    x, flags = _problem(layer)
    flags[:], flags[9] = False, True
    with tt.diagnose.watch(layer) as recording:
        layer(x, reset=flags).output[-1].sum().backward()
    norms = tt.diagnose.gradient_flow(recording).layers[0].h
    assert norms.lengths.tolist() == [9, STEPS - 9] * BATCH
    assert [bool(piece.any()) for piece in norms] == [False, True] * BATCH


def test_bounds_on_gradients_hold_in_every_piece() -> None:
    layer = _layer("GRU", torch.float64)
    x, flags = _problem(layer)
    layer.bound_gradients(norm=0.01)
    wanted = [x.requires_grad_(), *layer.parameters()]
    found = gradients([layer(x, reset=flags).output], wanted)
    torch.testing.assert_close(found, gradients([_split(layer, x, flags)], wanted))


@pytest.mark.parametrize("name", ["LSTM learned", "GRU", "MinLSTM", "SRU"])
def test_second_derivatives(name: str) -> None:
    layer = _layer(name, torch.float64)
    x, flags = (part[:6, :2] for part in _problem(layer))
    x = x.contiguous().requires_grad_()
    flags = flags.clone()
    flags[3, 0] = True
    assert torch.autograd.gradgradcheck(lambda x: layer(x, reset=flags).output, (x,))


@pytest.mark.parametrize("name", ["LSTM learned", "GRU", "MinLSTM", "QRNN", "Recurrence"])
def test_gradients_of_each_example_by_vmap(name: str) -> None:
    layer = _layer(name, torch.float64)
    x, flags = _problem(layer)
    parameters = dict(layer.named_parameters())

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        result = torch.func.functional_call(layer, parameters, (x,), {"reset": flags})
        return result.output.square().sum()

    examples = torch.stack([x, x.flip(0)])
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, examples)
    for place, example in enumerate(examples):
        expected = torch.autograd.grad(loss(parameters, example), list(parameters.values()))
        torch.testing.assert_close([found[key][place] for key in parameters], list(expected))


def test_under_autocast() -> None:
    layer = _layer("LSTM learned")
    x, flags = _problem(layer)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x)
        found = layer(x, state, reset=flags)
        assert found.output.dtype == layer(x, state).output.dtype
    state = tuple(part.float() for part in state)
    torch.testing.assert_close(found.output.float(), layer(x, state, reset=flags).output, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("reverse", [False, True])
def test_linear_scan(reverse: bool) -> None:
    a, b, h0 = torch.rand(9, 2).double(), torch.randn(9, 2).double(), torch.randn(3, 2).double()
    reset = Ragged.from_lengths(torch.tensor([1, 0, 0, 1, 0, 0, 0, 1, 0]).bool(), [5, 0, 4])
    factors, addends = (Ragged.from_lengths(part, [5, 0, 4]) for part in (a, b))
    output, state = tt.nn.functional.linear_scan(factors, addends, h0, reverse=reverse, reset=reset)
    h, last = torch.zeros_like(a), h0.clone()
    for sequence, (begin, end) in enumerate(((0, 5), (5, 5), (5, 9))):
        steps = range(end - 1, begin - 1, -1) if reverse else range(begin, end)
        for t in steps:
            boundary = t + 1 < end and reset.values[t + 1] if reverse else reset.values[t]
            before = torch.zeros(2).double() if boundary else last[sequence]
            h[t] = last[sequence] = a[t] * before + b[t]
    torch.testing.assert_close(output.values, h)
    torch.testing.assert_close(state, last)


def test_wrong_flags_are_named() -> None:
    layer, x = tt.nn.GRU(FEATURES, 5), torch.randn(7, 2, FEATURES)
    with pytest.raises(
        ShapeError, match=r"GRU: reset has shape \(6, 2\), expected \(7, 2\), one flag for each"
    ):
        layer(x, reset=torch.zeros(6, 2).bool())
    with pytest.raises(InputTypeError, match=r"GRU: reset is torch.float32, expected torch.bool.*done > 0.5"):
        layer(x, reset=torch.full((7, 2), float("nan")))
    with pytest.raises(InputTypeError, match="GRU: reset is list, expected a Tensor of bool"):
        layer(x, reset=[False] * 7)
    ragged = Ragged.from_list([x[:5, 0], x[:, 1]])
    with pytest.raises(InputTypeError, match="GRU: reset is a tensor of shape"):
        layer(ragged, reset=torch.zeros(12).bool())
    with pytest.raises(
        ShapeError, match=r"GRU: reset has lengths \[7, 5\], expected those of the input, \[5, 7\]"
    ):
        layer(ragged, reset=Ragged.from_lengths(torch.zeros(12).bool(), [7, 5]))
    with pytest.raises(ShapeError, match="other batch sizes or another order"):
        layer(ragged.to_packed(), reset=Ragged.from_lengths(torch.zeros(12).bool(), [7, 5]).to_packed())
    with pytest.raises(ShapeError, match=r"GRU.step: reset has shape \(3,\), expected \(2,\)"):
        layer.step(x[0], None, reset=torch.zeros(3).bool())
    with pytest.raises(InputTypeError, match="Bidirectional got reset flags, but Conv1d takes none"):
        tt.nn.Bidirectional(tt.nn.Conv1d(FEATURES, 4, 3, padding="causal"))(x, reset=torch.zeros(7, 2).bool())


def test_flags_that_vmap_maps_over_are_refused() -> None:
    layer, x = tt.nn.GRU(FEATURES, 5), torch.randn(7, 2, FEATURES)
    with pytest.raises(UnsupportedError, match="vmap maps over reset flags"):
        torch.func.vmap(lambda flags: layer(x, reset=flags).output)(torch.zeros(3, 7, 2).bool())


@pytest.mark.parametrize("name", ["LSTM", "GRU", "LayerNormLSTM"])
def test_compiled_and_exported_with_flags(name: str) -> None:
    layer = _layer(name)
    x, flags = _problem(layer)
    expected = layer(x, reset=flags).output
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, reset=flags).output, expected)
    program = torch.export.export(layer, (x,), {"reset": torch.zeros_like(flags)}).module()
    torch.testing.assert_close(program(x, reset=flags).output, expected)


def test_flags_that_graphs_cannot_have() -> None:
    """Where a sequence is cut into pieces, whose number is in the values of flags."""
    layer = _layer("MinLSTM")
    x, flags = _problem(layer)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager")
    torch.testing.assert_close(compiled(x, reset=flags).output, layer(x, reset=flags).output)
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="cannot record the reset flags of MinLSTM"):
        torch.compile(layer, backend="eager", fullgraph=True)(x, reset=flags)
    with pytest.raises(Exception, match="cannot record the reset flags of MinLSTM"):
        torch.export.export(layer, (x,), {"reset": flags})


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_recurrence_whose_states_are_matrices(batch_first: bool) -> None:
    layer = tt.nn.Recurrence(
        lambda h, x: 0.5 * h + x[:, :, None], state=torch.ones(FEATURES, 2), batch_first=batch_first
    )
    x, flags = torch.randn(STEPS, BATCH, FEATURES), torch.rand(STEPS, BATCH) < 0.2
    kind = "batch-first" if batch_first else "time-major"
    output, state = layer(KINDS[kind](x), reset=KINDS[kind](flags))
    h = torch.ones(BATCH, FEATURES, 2)
    for x_t, reset, found in zip(x, flags, output.transpose(0, 1) if batch_first else output, strict=True):
        h = 0.5 * torch.where(reset[:, None, None], torch.ones(()), h) + x_t[:, :, None]
        torch.testing.assert_close(found, h)
    torch.testing.assert_close(state, h)
