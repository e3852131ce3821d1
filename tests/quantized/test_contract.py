"""What holds for every layer with int8 weights: bits of a sequence, states, copies, state dicts and refusals."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import throughtime as tt
from tests.strategies import LENGTHS
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

from .layers import LAYERS, RECURRENT, STEPPING, batch, layer, values

each_layer = pytest.mark.parametrize("name", LAYERS)
SEEDS = st.integers(0, 100)


def long_enough(name: str, lengths: list[int]) -> list[int]:
    """Lengths that no window refuses."""
    return [length and length + 3 for length in lengths] if name.startswith("Conv1d") else lengths


@each_layer
@given(lengths=LENGTHS, seed=SEEDS)
def test_a_sequence_has_the_same_bits_alone_and_in_any_batch(
    name: str, lengths: list[int], seed: int
) -> None:
    quantized, x = tt.quantize(layer(name, seed)), batch(long_enough(name, lengths), seed)
    whole = quantized(x)
    rows = whole.output if isinstance(whole, tt.nn.RecurrentOutput) else whole
    for b in range(len(x)):
        assert torch.equal(values(quantized(x[b : b + 1])), rows[b])


@each_layer
def test_the_bits_do_not_depend_on_threads(name: str) -> None:
    quantized, x = tt.quantize(layer(name)), batch([300, 0, 40, 900, 7] * 4)
    expected = values(quantized(x))
    try:
        for threads in (2, 3, 4):
            torch.set_num_threads(threads)
            assert torch.equal(values(quantized(x)), expected)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("kind", [tt.nn.LSTM, tt.nn.GRU, tt.nn.RNN])
def test_the_bits_of_wide_layers_do_not_depend_on_threads(kind: type) -> None:
    """So wide that the threads share the units of few sequences."""
    torch.manual_seed(0)
    quantized, x = tt.quantize(kind(64, 1000)), torch.randn(5, 1, 64)
    expected = quantized(x)
    try:
        torch.set_num_threads(4)
        assert torch.equal(quantized(x).output, expected.output)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("name", RECURRENT)
@given(lengths=LENGTHS, seed=SEEDS)
def test_empty_sequences_keep_their_state(name: str, lengths: list[int], seed: int) -> None:
    quantized, x = tt.quantize(layer(name, seed)), batch([0, *lengths, 0], seed)
    _, state = quantized(batch([2] * len(x), seed))
    _, final = quantized(x, state)
    for part, before in zip(
        torch.utils._pytree.tree_leaves(final), torch.utils._pytree.tree_leaves(state), strict=True
    ):
        assert torch.equal(part[:, 0], before[:, 0])
        assert torch.equal(part[:, -1], before[:, -1])


@pytest.mark.parametrize("name", STEPPING)
@given(lengths=LENGTHS, seed=SEEDS, cut=st.integers(0, 4))
def test_split_with_carried_state_equals_whole(name: str, lengths: list[int], seed: int, cut: int) -> None:
    quantized, x = tt.quantize(layer(name, seed)), batch(lengths, seed)
    whole, final = quantized(x)
    head, tail = x.split_time([cut] * len(x))
    first, state = quantized(head)
    second, carried = quantized(tail, state)
    assert torch.equal(Ragged.cat_time([first, second]).values, whole.values)
    torch.testing.assert_close(carried, final, rtol=0, atol=0)


@pytest.mark.parametrize("name", RECURRENT)
@given(lengths=LENGTHS, seed=SEEDS)
def test_reset_flags_split_sequences(name: str, lengths: list[int], seed: int) -> None:
    quantized, x = tt.quantize(layer(name, seed)), batch(lengths, seed)
    flags = x.with_values(torch.rand(len(x.values), generator=torch.Generator().manual_seed(seed)) < 0.4)
    found = quantized(x, reset=flags).output
    for sequence, own, y in zip(x, flags, found, strict=True):
        cuts = [t for t in own.nonzero().flatten().tolist() if t > 0]
        pieces = [
            values(quantized(Ragged.from_list([piece]))) for piece in torch.tensor_split(sequence, cuts)
        ]
        assert torch.equal(torch.cat(pieces), y)


@pytest.mark.parametrize("name", STEPPING)
def test_steps_are_those_of_the_sequence(name: str) -> None:
    quantized, x = tt.quantize(layer(name)), torch.stack(list(batch([6, 6, 6])), 1)
    whole = quantized(x.transpose(0, 1) if quantized.batch_first else x)
    state: Any = None
    for t, x_t in enumerate(x):
        y_t, state = quantized.step(x_t, state)
        assert torch.equal(y_t, whole.output[:, t] if quantized.batch_first else whole.output[t])
    torch.testing.assert_close(state, whole.state, rtol=0, atol=0)
    y, _ = quantized.step(x[0, 1])
    assert torch.equal(y, whole.output[1, 0] if quantized.batch_first else whole.output[0, 1])


@pytest.mark.parametrize("name", STEPPING)
def test_a_step_with_a_flag_begins_again(name: str) -> None:
    quantized, x = tt.quantize(layer(name)), torch.stack(list(batch([3, 3])), 1)
    _, state = quantized.step(x[0])
    y, _ = quantized.step(x[1], state, reset=torch.tensor([True, False]))
    assert torch.equal(y[0], quantized.step(x[1])[0][0])
    assert torch.equal(y[1], quantized.step(x[1], state)[0][1])


@pytest.mark.parametrize("name", RECURRENT)
def test_all_kinds_of_input_give_the_same(name: str) -> None:
    quantized, x = tt.quantize(layer(name)), batch([5, 2, 7])
    output, state = quantized(x)
    packed, packed_state = quantized(x.to_packed())
    assert torch.equal(Ragged.from_packed(packed).values, output.values)
    torch.testing.assert_close(packed_state, state, rtol=0, atol=0)
    single, _ = quantized(x[2])
    assert torch.equal(single, output[2])


def test_streams_give_what_whole_sequences_give() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        tt.nn.Conv1d(5, 20, 3, padding="causal"), nn.ReLU(), tt.nn.GRU(20, 8), tt.nn.Linear(8, 3)
    )
    stream, x = tt.nn.Stream(tt.quantize(model)), batch([7, 7])
    whole = tt.quantize(model)(x)
    first, state = stream(x.split_time([3, 4])[0])
    second, _ = stream(x.split_time([3, 4])[1], state)
    assert torch.equal(Ragged.cat_time([first, second]).values, whole.values)
    assert tt.nn.receptive_field(tt.quantize(model[0])) == tt.nn.receptive_field(model[0])


@each_layer
def test_a_state_dict_gives_equal_bits(name: str) -> None:
    quantized, other = tt.quantize(layer(name)), tt.quantize(layer(name, seed=1))
    x = batch([9, 4])
    assert not torch.equal(values(other(x)), values(quantized(x)))
    file = io.BytesIO()
    torch.save(quantized.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(values(other(x)), values(quantized(x)))


@each_layer
def test_copies_give_equal_bits(name: str) -> None:
    quantized, x = tt.quantize(layer(name)), batch([9, 4])
    for other in (copy.deepcopy(quantized), pickle.loads(pickle.dumps(quantized))):
        assert torch.equal(values(other(x)), values(quantized(x)))
        assert repr(other) == repr(quantized)


@each_layer
def test_the_weights_take_a_quarter(name: str) -> None:
    """But for what is padded to 16 outputs and four inputs."""
    quantized = tt.quantize(layer(name))
    integers = [tensor for tensor in quantized.state_dict().values() if tensor.dtype == torch.int8]
    floats = [parameter for parameter in layer(name).parameters() if parameter.dim() > 1]
    padded = [-(-t.shape[0] // 16) * 16 * -(-t.shape[1] // 4) * 4 * 4 * (t[0, 0].numel()) for t in floats]
    assert sum(tensor.numel() for tensor in integers) <= 2 * sum(padded)
    assert not any(parameter.requires_grad for parameter in quantized.parameters())


@each_layer
def test_no_gradients(name: str) -> None:
    quantized, x = tt.quantize(layer(name)), batch([9, 4])
    assert not values(quantized(x)).requires_grad
    wanted = x.with_values(x.values.clone().requires_grad_())
    with pytest.raises(UnsupportedError, match=r"no gradients.*torch\.no_grad"):
        quantized(wanted)
    with torch.no_grad():
        assert torch.equal(values(quantized(wanted)), values(quantized(x)))


@each_layer
def test_bad_inputs_are_named(name: str) -> None:
    quantized = tt.quantize(layer(name))
    with pytest.raises(ShapeError, match="expects 5 features"):
        quantized(Ragged.from_lengths(torch.randn(4, 6), [4]))
    with pytest.raises(InputTypeError, match="float64"):
        quantized(Ragged.from_lengths(torch.randn(4, 5).double(), [4]))
    quantized.half()
    with pytest.raises(InputTypeError, match="computes in float32 on a CPU"):
        quantized(Ragged.from_lengths(torch.randn(9, 5).half(), [9]))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace", "ignore::torch.jit.TracerWarning")
def test_traces_and_graphs_are_refused() -> None:
    quantized = tt.quantize(tt.nn.LSTM(5, 4))
    with pytest.raises(UnsupportedError, match="trace the float32 layer"):
        quantized.trace(torch.randn(3, 5))
    with pytest.raises(UnsupportedError, match="cannot be traced"):
        torch.jit.trace(tt.quantize(nn.Linear(5, 4)), torch.randn(3, 5))
    with pytest.raises(UnsupportedError, match="takes no context"):
        quantized(torch.randn(3, 5), context=torch.randn(2))
    with pytest.raises(ShapeError, match="bidirectional=False"):
        tt.quantize(tt.nn.GRU(5, 4, bidirectional=True)).step(torch.randn(5))


def test_strided_inputs_and_states_are_read() -> None:
    quantized = tt.quantize(tt.nn.LSTM(5, 4, num_layers=2))
    x = torch.randn(3, 5, 7).transpose(1, 2)
    state = tuple(torch.randn(2, 4, 7).transpose(1, 2) for _ in range(2))
    found, expected = (
        quantized(x, state),
        quantized(x.contiguous(), tuple(part.contiguous() for part in state)),
    )
    assert torch.equal(found.output, expected.output)
    linear = tt.quantize(nn.Linear(5, 4))
    assert torch.equal(linear(x), linear(x.contiguous()))
