"""`tt.Stream` of modules: any chunks, pushed together in any way, give the bits of the whole sequences."""

import io
import threading
from collections import OrderedDict
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import DataError, InputTypeError, NotCausalError, ShapeError, UnsupportedError
from throughtime.nn.inputs.output import unwrapped

W, C, N = 13, 3, 2


def _tokens(steps: int) -> Tensor:
    return torch.randint(W, (steps,))


def _series(steps: int) -> Tensor:
    return torch.randn(steps, C)


def _named(cls: type, **options: object) -> nn.Module:
    return cls(W, N, embedding_size=5, hidden_size=7, **options)


def _pooled(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(tt.nn.GRU(C, 5), *layers)


M = tt.models
MODELS = {
    "rnn, max": (lambda: _named(M.RNNModel), _tokens),
    "lstm, mean": (lambda: _named(M.LSTMModel, pool="mean", num_layers=2), _tokens),
    "gru, last": (lambda: _named(M.GRUModel, pool="last"), _tokens),
    "lstm, per step": (lambda: _named(M.LSTMModel, per_step=True), _tokens),
    "tcn": (lambda: M.TCN(C, N, channels=(4, 4), kernel_size=3), _series),
    "tcn, per step": (lambda: M.TCN(C, N, channels=(4, 4), kernel_size=3, per_step=True), _series),
    "language": (lambda: M.LanguageModel(W, embedding_size=5, hidden_size=7), _tokens),
    "forecast": (lambda: M.ForecastModel(C, hidden_size=7), _series),
    "frame": (lambda: M.FrameModel(C, hidden_size=7), _series),
    "blend": (lambda: M.Blend([[_named(M.GRUModel)], [_named(M.LSTMModel, pool="mean")]]), _tokens),
    "sum": (lambda: _pooled(tt.nn.Pool("sum"), tt.nn.Linear(5, N)), _series),
    "top-k": (lambda: _pooled(tt.nn.Pool("top-k", k=3)), _series),
    "strides": (lambda: nn.Sequential(tt.nn.Conv1d(C, 4, 2, stride=2), tt.nn.Pool("max")), _series),
    "layer": (lambda: tt.nn.LSTM(C, 5, num_layers=2), _series),
    "scan": (lambda: nn.Sequential(tt.nn.MinGRU(C, 5), tt.nn.Pool("mean")), _series),
    "no state": (lambda: tt.nn.Linear(C, N), _series),
}
# Whole sequences compute these in two passes.
CLOSE = {
    "std": (lambda: _pooled(tt.nn.Pool("std")), _series),
    "attention": (lambda: _pooled(tt.nn.AttentionPool(5)), _series),
}

EXACT = {make for make, _ in MODELS.values()}


def _model(make, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make().eval()


def _whole(model: nn.Module, sequence: Tensor) -> Tensor:
    with torch.no_grad():
        output = unwrapped(model(Ragged.from_list([sequence])))
    return output[0]


class _Run:
    """Sequences that are pushed piece by piece, and what came back."""

    def __init__(self, model: nn.Module, sequences: dict[int, Tensor]) -> None:
        self.model, self.sequences = model, sequences
        self.stream = tt.Stream(model)
        self.place = dict.fromkeys(sequences, 0)
        self.answers: dict[int, list[Tensor]] = {key: [] for key in sequences}

    def push(self, sizes: dict[int, int]) -> None:
        for key in sizes:
            if key not in self.stream:
                self.stream.open(key)
        chunks = {}
        for key, size in sizes.items():
            start, self.place[key] = self.place[key], self.place[key] + size
            chunks[key] = self.sequences[key][start : self.place[key]]
        for key, answer in self.stream.push(chunks).items():
            self.answers[key].append(answer)

    def found(self, key: int) -> Tensor:
        """Of outputs of steps those of all steps, of others the last."""
        last = self.stream.close(key)
        steps = isinstance(unwrapped(self.model(Ragged.from_list([self.sequences[key]]))), Ragged)
        return torch.cat([*self.answers[key], last]) if steps else last


@pytest.mark.parametrize(("make", "draw"), [*MODELS.values(), *CLOSE.values()], ids=[*MODELS, *CLOSE])
@settings(max_examples=5)
@given(lengths=st.lists(st.integers(3, 9), min_size=1, max_size=5), seed=st.integers(0, 2**16))
def test_any_interleaving_gives_the_whole_sequences(make, draw, lengths: list[int], seed: int) -> None:
    model, order = _model(make), Random(seed)
    run, left = (
        _Run(model, {key: draw(length) for key, length in enumerate(lengths)}),
        dict(enumerate(lengths)),
    )
    while left:
        sizes = {key: order.randint(0, steps) for key, steps in left.items() if order.random() < 0.6}
        run.push(sizes)
        for key, size in sizes.items():
            left[key] -= size
            if left[key] == 0:
                del left[key]
                found, whole = run.found(key), _whole(model, run.sequences[key])
                assert torch.equal(found, whole) if make in EXACT else torch.allclose(found, whole, atol=1e-6)
    assert len(run.stream) == 0


@pytest.mark.parametrize("kind", ["sum", "mean"])
@pytest.mark.parametrize("piece", [1, 63, 64, 65, 5000])
def test_long_sums_have_the_bits_of_the_kernel(kind: str, piece: int) -> None:
    """The kernel sums runs of 64 steps and groups of 4,096 by themselves."""
    length = 9000 if piece > 1 else 130
    x = torch.randn(length, C) * torch.logspace(-3, 3, length)[:, None]
    stream = tt.Stream(tt.nn.Pool(kind).eval())
    stream.open(0)
    for part in x.split(piece):
        last = stream.push({0: part})[0]
    assert torch.equal(last, _whole(tt.nn.Pool(kind), x))


def test_pools_of_special_values() -> None:
    x = torch.tensor([[-0.0], [0.0], [-torch.inf], [torch.nan], [1.0]])
    for kind in ("max", "last", "sum", "mean"):
        stream = tt.Stream(tt.nn.Pool(kind).eval())
        stream.open(0)
        for end in range(1, 6):
            answer = stream.push({0: x[end - 1 : end]})[0]
            whole = _whole(tt.nn.Pool(kind), x[:end])
            assert answer.view(torch.int32).equal(whole.view(torch.int32)) or answer.isnan().equal(
                whole.isnan()
            )
    stream = tt.Stream(tt.nn.Pool("max").eval())
    stream.open(0)
    stream.open(1)
    assert stream.push({0: x[:0], 1: x[2:3]}) == {0: torch.zeros(1), 1: torch.tensor([-torch.inf])}


def test_rows_are_used_again_from_the_beginning() -> None:
    model = _model(lambda: _named(M.LSTMModel))
    stream, x = tt.Stream(model), _tokens(4)
    for _ in range(3):
        keys = [stream.open() for _ in range(70)]
        assert len(set(keys)) == 70
        for key in keys:
            stream.push({key: x[:2]})
        answers = stream.push(dict.fromkeys(keys, x[2:]))
        assert all(torch.equal(answer, _whole(model, x)) for answer in answers.values())
        for key in keys:
            stream.close(key)
    assert len(stream) == 0
    assert not list(stream)


def test_keys_are_anything_hashable_and_iterate_in_order() -> None:
    stream = tt.Stream(_model(lambda: tt.nn.Linear(C, N)))
    assert [stream.open("a"), stream.open(("b", 1)), stream.open(0), stream.open()] == ["a", ("b", 1), 0, 1]
    assert list(stream) == ["a", ("b", 1), 0, 1]
    assert ("b", 1) in stream
    assert "z" not in stream
    assert len(stream) == 4


def test_lists_and_arrays_are_chunks() -> None:
    stream = tt.Stream(_model(lambda: tt.nn.GRU(C, 4).double()))
    stream.open(0)
    x = torch.randn(3, C, dtype=torch.float64)
    first = stream.push({0: x[:1].tolist()})[0]
    second = stream.push({0: x[1:2].numpy()})[0]
    third = stream.push({0: x[2:]})[0]
    nothing = stream.push({0: []})[0]
    assert torch.equal(torch.cat([first, second, third, nothing]), _whole(stream._source.model, x))


def test_the_state_is_that_of_the_layers_and_a_copy() -> None:
    layer, x = _model(lambda: tt.nn.LSTM(C, 4)), _series(5)
    stream = tt.Stream(layer)
    stream.open("a")
    assert stream.state("a") is None
    stream.push({"a": x[:2]})
    before = stream.state("a")
    stream.push({"a": x[2:]})
    with torch.no_grad():
        for end, state in ((2, before), (5, stream.state("a"))):
            for part, right in zip(state, layer(Ragged.from_list([x[:end]])).state, strict=True):
                assert torch.equal(part, right)


@pytest.mark.parametrize("name", ["lstm, mean", "tcn", "top-k"])
def test_a_saved_stream_goes_on_in_another_process(name: str) -> None:
    make, draw = MODELS[name]
    model, file = _model(make), io.BytesIO()
    x, y = draw(8), draw(5)
    first = tt.Stream(model)
    for key in ("a", "gone", ("b", 2)):
        first.open(key)
    first.push({"gone": x, "a": x[:5], ("b", 2): y[:1]})
    first.close("gone")
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = tt.Stream(_model(make))
    second.load_state_dict(torch.load(file))
    assert list(second) == ["a", ("b", 2)]
    answers = second.push({("b", 2): y[1:], "a": x[5:]})
    assert torch.equal(answers["a"], _whole(model, x))
    assert torch.equal(answers["b", 2], _whole(model, y))
    assert second.open() == 0


def test_a_discarded_sequence_is_gone_and_the_others_go_on() -> None:
    make, draw = MODELS["lstm, mean"]
    model = _model(make)
    x, stream = draw(8), tt.Stream(model)
    for key in ("gone", "a"):
        stream.open(key)
    stream.push({"gone": draw(3), "a": x[:5]})
    stream.discard("gone")
    assert list(stream) == ["a"]
    with pytest.raises(ShapeError, match="stream 'gone' is not open"):
        stream.discard("gone")
    stream.open("gone")
    answers = stream.push({"a": x[5:], "gone": x})
    for key in ("a", "gone"):
        assert torch.equal(answers[key], _whole(model, x)), key


def test_what_a_predictor_keeps_is_not_read_of_a_discarded_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = tt.Stream(_model(lambda: _named(M.GRUModel)))
    stream.open("a")

    def unreadable(*_: object) -> None:
        raise DataError("no")

    monkeypatch.setattr(stream._source, "finish", unreadable)
    with pytest.raises(DataError):
        stream.close("a")
    assert list(stream) == ["a"]
    stream.discard("a")
    assert not list(stream)


def test_a_stream_without_steps_is_saved() -> None:
    first, second = (tt.Stream(_model(lambda: _named(M.GRUModel))) for _ in range(2))
    first.open("a")
    second.load_state_dict(first.state_dict())
    assert second.close("a") is None


def test_a_state_that_does_not_fit_is_named_and_changes_nothing() -> None:
    stream = tt.Stream(_model(lambda: tt.nn.GRU(C, 4)))
    stream.open("a")
    stream.push({"a": _series(2)})
    other = tt.Stream(_model(lambda: tt.nn.GRU(C, 5)))
    other.open("b")
    for content, words in (
        (stream.state_dict(), r"tensors \(1, 1, 4\), expected \(1, 1, 5\)"),
        ({**stream.state_dict(), "version": 2}, "version 2, expected 1"),
        ({"keys": []}, "no entry 'empty'"),
    ):
        with pytest.raises(ShapeError, match=words):
            other.load_state_dict(content)
    assert list(other) == ["b"]


class MeanOfLogs(nn.Module):
    """A layer of a user's own that pools, and does not say how on a stream."""

    def describe(self) -> tt.nn.description.WholeSequence:
        return tt.nn.description.WholeSequence("needs all steps", pools=True)


NOT_CAUSAL = {
    r"recurrent \(LSTM\) reads from the end": lambda: _named(M.BiLSTM),
    r"convolutions|blocks\.1\.conv \(Conv1d\) has .* padding at the end": lambda: M.TextCNN(W, N),
    r"conv \(Conv1d\) has .* padding at the end": lambda: M.FCN(C, N, channels=(4, 4, 4)),
    r"quantized \(OneHotSteps\) reads the whole text": lambda: M.CharCNN(
        W, N, length=130, channels=4, hidden_size=4
    ),
    r"output \(HashedLinear\) counts the n-grams": lambda: M.NGrams(W, N, buckets=16),
    r"pool \(MeanOfLogs\) needs all steps": lambda: nn.Sequential(OrderedDict(pool=MeanOfLogs())),
    r"1 \(InstanceNorm1d\) takes its statistics": lambda: nn.Sequential(
        nn.Identity(), tt.nn.InstanceNorm1d(C)
    ),
}


@pytest.mark.parametrize(("words", "make"), NOT_CAUSAL.items())
def test_models_that_need_the_future_are_named(words: str, make) -> None:
    with pytest.raises(NotCausalError, match=words):
        tt.Stream(make().eval())


def test_what_is_no_model_is_named() -> None:
    with pytest.raises(InputTypeError, match=r"GRU is in training mode; call model\.eval\(\)"):
        tt.Stream(tt.nn.GRU(C, 2))
    with pytest.raises(InputTypeError, match="got a int"):
        tt.Stream(3)
    with pytest.raises(InputTypeError, match="no description"):
        tt.Stream(nn.Bilinear(2, 2, 2).eval())


def test_errors_name_the_key_and_change_nothing() -> None:
    model, x = _model(lambda: _named(M.LSTMModel)), _tokens(4)
    stream = tt.Stream(model)
    stream.open("a")
    stream.open("b")
    stream.push({"a": x[:2]})
    cases = {
        "stream 'z' is not open": {"a": x[2:], "z": x},
        r"stream 'b' has shape \(4, 1\), expected \(n,\)": {"a": x[2:], "b": x[:, None]},
        r"stream 'b' has shape \(\), expected": {"a": x[2:], "b": x[0]},
        r"stream 'b' is torch\.float32, expected torch\.int64": {"a": x[2:], "b": x.float()},
        "stream 'b' is a str": {"a": x[2:], "b": "text"},
        "stream 'b' is not a list of steps": {"a": x[2:], "b": [1, [2]]},
    }
    for words, chunks in cases.items():
        with pytest.raises((ShapeError, InputTypeError), match=words):
            stream.push(chunks)
    with pytest.raises(ShapeError, match="'a' is already open"):
        stream.open("a")
    with pytest.raises(InputTypeError, match="hashable, got a list"):
        stream.open([1])
    for call in (stream.close, stream.state):
        with pytest.raises(ShapeError, match="'z' is not open: it was never opened, or has been closed"):
            call("z")
    assert stream.push({}) == {}
    assert torch.equal(stream.push({"a": x[2:]})["a"], _whole(model, x))
    stream.close("a")
    with pytest.raises(ShapeError, match="'a' is not open"):
        stream.push({"a": x})


def test_a_first_chunk_that_does_not_fit_leaves_no_trace() -> None:
    model, x = _model(lambda: tt.nn.GRU(C, 4)), _series(2)
    stream = tt.Stream(model)
    stream.open(0)
    with pytest.raises(ShapeError, match="input_size|features"):
        stream.push({0: torch.randn(2, C + 1)})
    assert torch.equal(stream.push({0: x})[0], _whole(model, x))


class _Counting(nn.Module):
    """A layer with a state that is no tensor."""

    def describe(self) -> tt.nn.description.Stateful:
        return tt.nn.description.Stateful(lambda x, n: (x, (n or 0) + 1), lambda x, n: (x, (n or 0) + 1))


def test_a_state_that_is_no_tensor_is_named() -> None:
    stream = tt.Stream(_Counting().eval())
    stream.open(0)
    with pytest.raises(UnsupportedError, match="contains a int without a dimension for sequences"):
        stream.push({0: _series(1)})


def test_threads_push_one_after_the_other() -> None:
    model = _model(lambda: _named(M.LSTMModel, pool="mean"))
    stream, sequences, answers = tt.Stream(model), {key: _tokens(12) for key in range(6)}, {}

    def run(key: int) -> None:
        stream.open(key)
        for part in sequences[key].split(3):
            stream.push({key: part})
        answers[key] = stream.close(key)

    threads = [threading.Thread(target=run, args=(key,)) for key in sequences]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for key, sequence in sequences.items():
        assert torch.equal(answers[key], _whole(model, sequence))


def test_answers_have_no_gradients() -> None:
    stream = tt.Stream(_model(lambda: tt.nn.GRU(C, 4)))
    stream.open(0)
    assert not stream.push({0: np.zeros((2, C), np.float32)})[0].requires_grad
