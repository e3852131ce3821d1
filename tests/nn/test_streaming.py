"""Streams: chunks and steps give the result of the whole, and layers that cannot be streamed are refused by name."""

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, NotCausalError, ShapeError
from throughtime.nn.inputs.output import unwrapped

from .blocks import causal_stack, wavenet_layer

C = 3
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def _wavenet_deep() -> nn.Module:
    return nn.Sequential(*(wavenet_layer() for _ in range(3)))


STACKS = {
    "conv": lambda: tt.nn.Conv1d(C, 4, 3, padding="causal", dilation=2),
    "depthwise": lambda: tt.nn.Conv1d(C, 6, 4, padding="causal", groups=C),
    "one step": lambda: tt.nn.Conv1d(C, 4, 1, padding="same"),
    "stack": causal_stack,
    "wide": lambda: tt.nn.WideConv(C, 4, (1, 2, 5), padding="causal", norm="layer"),
    "wavenet": _wavenet_deep,
    "linear gate": lambda: tt.nn.GatedBlock(C, 4, 3, gate="linear"),
    "resnet": lambda: tt.nn.ResNetBlock(C, 4, padding="causal"),
    "recurrent": lambda: nn.Sequential(
        tt.nn.ConvBlock(C, 4, 3, padding="causal"), tt.nn.LSTM(4, 5, num_layers=2), nn.Linear(5, 2)
    ),
    "recurrence": lambda: tt.nn.Recurrence(tt.nn.GRUCell(C, 4)),
}
# No output at every step: by chunks alone.
CHUNKED = {
    "valid": lambda: tt.nn.Conv1d(C, 4, 3, dilation=2),
    "strided": lambda: tt.nn.Conv1d(C, 4, 3, stride=2, padding="causal"),
    "long stride": lambda: tt.nn.Conv1d(C, 4, 2, stride=5),
    "max": lambda: tt.nn.MaxPool1d(3, 2),
    "mean": lambda: tt.nn.AvgPool1d(2),
    "pooled stack": lambda: nn.Sequential(
        tt.nn.ConvBlock(C, 4, 3, padding="causal", pool=2), tt.nn.ConvBlock(4, 4, 2, padding="causal", pool=3)
    ),
    "two ways": lambda: tt.nn.Residual(
        tt.nn.Conv1d(C, C, 3, stride=3, padding="causal"), tt.nn.Conv1d(C, C, 1, stride=3)
    ),
}


def _made(make) -> nn.Module:
    torch.manual_seed(0)
    return make().double().eval()


def _shortest(model: nn.Module) -> int:
    for steps in range(1, 20):
        with contextlib.suppress(ShapeError):
            model(Ragged.from_lengths(torch.randn(steps, C, dtype=torch.float64), [steps]))
            return steps
    raise AssertionError("refuses everything")


@pytest.mark.parametrize("make", [*STACKS.values(), *CHUNKED.values()], ids=[*STACKS, *CHUNKED])
@given(data=st.data())
def test_any_chunks_give_the_whole(make, data: st.DataObject) -> None:
    model = _made(make)
    # The whole refuses a sequence of which nothing is left; a stream waits for its next steps.
    least = _shortest(model)
    lengths = data.draw(st.lists(st.just(0) | st.integers(least, least + 8), min_size=1, max_size=4))
    x = Ragged.from_lengths(torch.randn(sum(lengths), C, dtype=torch.float64), lengths)
    stream, state, outputs, rest = tt.nn.Stream(model), None, [], x
    while not outputs or len(rest.values):
        sizes = data.draw(st.lists(st.integers(0, 4), min_size=len(x), max_size=len(x)))
        sizes = sizes if sum(sizes) else [1] * len(x)
        head, rest = rest.split_time(sizes)
        y, state = stream(head, state)
        outputs.append(y)
    whole = unwrapped(model(x))
    found = Ragged.cat_time(outputs)
    assert found.lengths.tolist() == whole.lengths.tolist()
    torch.testing.assert_close(found.values, whole.values, **TIGHT)


@pytest.mark.parametrize("make", STACKS.values(), ids=STACKS.keys())
def test_steps_give_the_whole_and_mix_with_chunks(make) -> None:
    model = _made(make)
    values = torch.randn(2, 7, C, dtype=torch.float64)
    stream = tt.nn.Stream(model)
    _, state = stream(Ragged.from_list(list(values[:, :2])))
    outputs = []
    for t in range(2, 7):
        y_t, state = stream.step(values[:, t], state)
        outputs.append(y_t)
    whole = unwrapped(model(Ragged.from_list(list(values))))
    torch.testing.assert_close(torch.stack(outputs, 1), torch.stack(list(whole))[:, 2:], **TIGHT)


def test_one_stream_may_come_without_a_batch() -> None:
    stack = _made(causal_stack)
    stream, x = tt.nn.Stream(stack), torch.randn(5, C, dtype=torch.float64)
    state, outputs = None, []
    for x_t in x:
        y_t, state = stream.step(x_t, state)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs), stack(Ragged.from_lengths(x, [5])).values, **TIGHT)


def test_words_go_through_an_embedding() -> None:
    model = nn.Sequential(nn.Embedding(9, C), tt.nn.Conv1d(C, 4, 3, padding="causal"))
    tokens = torch.randint(0, 9, (2, 4))
    state, outputs = None, []
    for t in range(4):
        y_t, state = tt.nn.Stream(model).step(tokens[:, t], state)
        outputs.append(y_t)
    whole = torch.stack(list(model(Ragged.from_list(list(tokens)))))
    torch.testing.assert_close(torch.stack(outputs, 1), whole)


def test_a_module_that_comes_twice_is_run_twice() -> None:
    conv, tanh = tt.nn.Conv1d(C, C, 3, padding="causal"), nn.Tanh()
    model = nn.Sequential(conv, tanh, conv, tanh)
    x = Ragged.from_lengths(torch.randn(6, C), [6])
    torch.testing.assert_close(tt.nn.Stream(model)(x).output.values, model(x).values)
    assert tt.nn.receptive_field(model).size == 5


def test_blocks_stream_by_themselves() -> None:
    block = _made(lambda: tt.nn.TemporalBlock(C, 4, 2, dilation=2))
    x = torch.randn(6, C, dtype=torch.float64)
    whole = block(Ragged.from_lengths(x, [6])).values
    y, state = block.chunk(Ragged.from_lengths(x[:4], [4]))
    y_t, state = block.step(x[4], state)
    last, _ = block.step(x[5:], state)
    torch.testing.assert_close(torch.cat([y.values, y_t[None], last]), whole, **TIGHT)


def test_gradients_cross_chunks_until_the_state_is_detached() -> None:
    stream = tt.nn.Stream(_made(lambda: tt.nn.Conv1d(C, 4, 3, padding="causal")))
    first = torch.randn(2, C, dtype=torch.float64, requires_grad=True)
    second = torch.randn(1, C, dtype=torch.float64, requires_grad=True)
    _, state = stream(Ragged.from_lengths(first, [2]))
    y, _ = stream(Ragged.from_lengths(second, [1]), state)
    reached = torch.autograd.grad(y.values.sum(), first, retain_graph=True)[0]
    assert (reached.abs().sum(1) > 0).all()
    detached = pytree.tree_map(torch.Tensor.detach, state)
    y, _ = stream(Ragged.from_lengths(second, [1]), detached)
    assert torch.autograd.grad(y.values.sum(), [first, second], allow_unused=True)[0] is None


NOT_CAUSAL = {
    r"1\.conv \(Conv1d\) has 1 steps of padding at the end.*padding='causal'": lambda: nn.Sequential(
        tt.nn.ConvBlock(C, 4, 3, padding="causal"), tt.nn.ConvBlock(4, 4, 3, padding="same")
    ),
    r"blocks\.1\.conv \(Conv1d\)": lambda: tt.nn.WideConv(C, 4, (1, 2)),
    r"MaxPool1d has 1 steps of padding at the end.*padding=0": lambda: tt.nn.MaxPool1d(3, 1, 1),
    r"MaxPool1d: with ceil_mode": lambda: tt.nn.MaxPool1d(3, 2, ceil_mode=True),
    r"1 \(GRU\) reads from the end": lambda: nn.Sequential(
        nn.Identity(), tt.nn.GRU(C, 4, bidirectional=True)
    ),
    r"0\.backward_layer \(GRU\) reads from the end": lambda: nn.Sequential(
        tt.nn.Bidirectional(tt.nn.GRU(C, 4))
    ),
    r"norm \(InstanceNorm1d\) takes its statistics": lambda: tt.nn.ConvBlock(
        C, 4, 3, padding="causal", norm="instance"
    ),
    r"norm \(GroupNorm\) takes its statistics": lambda: tt.nn.ConvBlock(
        C, 4, 3, padding="causal", norm="group"
    ),
    r"norm \(BatchNorm1d\).*model\.eval\(\)": lambda: tt.nn.ConvBlock(
        C, 4, 3, padding="causal", norm="batch"
    ),
    r"1 \(Pool\) pools the whole": lambda: nn.Sequential(nn.Identity(), tt.nn.Pool("max")),
    r"body \(Conv1d\)": lambda: tt.nn.Residual(tt.nn.Conv1d(C, C, 3, padding=1)),
}


@pytest.mark.parametrize(("words", "make"), NOT_CAUSAL.items())
def test_a_part_that_is_not_causal_is_named(words: str, make) -> None:
    stream = tt.nn.Stream(make().double())
    x = Ragged.from_lengths(torch.randn(3, C, dtype=torch.float64), [2, 1])
    with pytest.raises(NotCausalError, match=words):
        stream(x)
    with pytest.raises(NotCausalError, match=words):
        stream.step(x.values)


@pytest.mark.parametrize("make", CHUNKED.values(), ids=CHUNKED.keys())
def test_a_step_without_an_output_is_named(make) -> None:
    with pytest.raises(NotCausalError, match="no output at every step.*chunk by chunk"):
        tt.nn.Stream(_made(make)).step(torch.randn(2, C, dtype=torch.float64))


def test_what_does_not_fit_a_stream_is_named() -> None:
    stream = tt.nn.Stream(causal_stack().double().eval())
    x = Ragged.from_lengths(torch.randn(3, C, dtype=torch.float64), [2, 1])
    _, state = stream(x)
    with pytest.raises(ShapeError, match=r"0\.blocks\.0\.conv \(Conv1d\).*expected \(3, 2, 3\)"):
        stream(Ragged.from_lengths(x.values, [1, 1, 1]), state)
    with pytest.raises(InputTypeError, match="has 3 parts with a state, got a tuple of 2"):
        stream(x, state[:2])
    with pytest.raises(InputTypeError, match="pair of tensors"):
        tt.nn.Stream(tt.nn.Conv1d(C, 4, 3, padding="causal"))(x.float(), (1, 2))
    with pytest.raises(InputTypeError, match=r"float64 on cpu, the input torch\.float32"):
        tt.nn.Stream(tt.nn.Conv1d(C, 4, 3, padding="causal"))(x.float(), state[0][0][0])
    with pytest.raises(ShapeError, match="expects 3 features"):
        stream(Ragged.from_lengths(torch.randn(3, 4, dtype=torch.float64), [2, 1]))
    with pytest.raises(InputTypeError, match="a stream takes a Ragged"):
        stream(torch.randn(1, C, 4))
    with pytest.raises(ShapeError, match="one token"):
        stream.step(torch.randn(1, 2, 3))
