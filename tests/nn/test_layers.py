"""Tests of layers beyond the contract: kinds of input, errors, statistics, and torch's Sequential."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal, weight_norm
from torch.optim.swa_utils import AveragedModel

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError


def _tokens(lengths: list[int], vocabulary: int = 11) -> Ragged:
    return Ragged.from_lengths(torch.randint(0, vocabulary, (sum(lengths),)), lengths)


def _batch(lengths: list[int], features: int = 3) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), features, dtype=torch.float64), lengths)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_in_a_torch_sequential(name: str) -> None:
    torch.manual_seed(0)
    recurrent = getattr(tt.nn, name)(3, 4, bidirectional=True)
    model = nn.Sequential(
        nn.Embedding(11, 3), nn.LayerNorm(3), recurrent, nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 2)
    ).eval()
    tokens = _tokens([4, 0, 2])
    output = model(tokens)
    for found, sequence in zip(output, tokens, strict=True):
        if len(sequence):
            hidden, _ = recurrent(model[1](model[0](sequence)))
            torch.testing.assert_close(found, model[5](model[3](hidden)))
    pooled = nn.Sequential(model[:3], tt.nn.ConvBlock(8, 5, 3, padding="same"), tt.nn.Pool("max"))
    assert pooled(tokens).shape == (3, 5)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_torch_kinds_come_out_as_they_came_in(name: str, batch_first: bool) -> None:
    torch.manual_seed(0)
    options = {"num_layers": 2, "batch_first": batch_first}
    ours = getattr(tt.nn, name)(3, 4, **options)
    torchs = getattr(nn, name)(3, 4, **options)
    torchs.load_state_dict(ours.state_dict())
    ours.load_state_dict(torchs.state_dict())
    padded = torch.randn(2, 5, 3) if batch_first else torch.randn(5, 2, 3)
    packed = nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    for x in (padded, torch.randn(5, 3), packed):
        y, state = ours(x)
        expected, expected_state = torchs(x)
        assert type(y) is type(expected)
        leaves = torch.utils._pytree.tree_leaves
        torch.testing.assert_close(leaves((y, state)), leaves((expected, expected_state)))


def test_dropout_between_layers_follows_the_mode() -> None:
    layer = tt.nn.GRU(3, 4, num_layers=2, dropout=0.5).double()
    x = _batch([5, 2])
    trained = {float(layer(x).output.values.detach().sum()) for _ in range(3)}
    layer.eval()
    evaluated = {float(layer(x).output.values.detach().sum()) for _ in range(3)}
    assert len(trained) == 3
    assert len(evaluated) == 1


def test_a_subclass_of_a_layer_keeps_working() -> None:
    class Mine(tt.nn.LSTM):
        pass

    layer = Mine(3, 4).double()
    x = _batch([3, 1])
    torch.testing.assert_close(layer(x).output[0], layer(x[0]).output)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: tt.nn.LSTM(5, 4)(x), ShapeError, r"LSTM expects 5 features per token.*\(3,\)"),
        (
            lambda x: tt.nn.LSTM(3, 4).double()(x, torch.zeros(1, 2, 4)),
            InputTypeError,
            r"pair of tensors \(h_0, c_0\)",
        ),
        (
            lambda x: tt.nn.GRU(3, 4).double()(x, (torch.zeros(1, 2, 4),)),
            InputTypeError,
            "one tensor h_0.*tuple of 1",
        ),
        (
            lambda x: tt.nn.GRU(3, 4).double()(x, torch.zeros(1, 3, 4)),
            ShapeError,
            r"\(1, 3, 4\), expected \(1, 2, 4\)",
        ),
        (
            lambda x: tt.nn.LSTM(3, 4, proj_size=2).double()(x, (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))),
            ShapeError,
            r"h_0.*expected \(1, 2, 2\)",
        ),
        (lambda x: tt.nn.Conv1d(4, 2, 3)(x), ShapeError, "Conv1d expects 4 features"),
        (lambda x: tt.nn.Conv1d(3, 2, 3, padding_mode="reflect").double()(x), ShapeError, "'reflect'"),
        (
            lambda x: tt.nn.Pool("max")(x.values),
            InputTypeError,
            r"Pool takes a Ragged, got a tensor of shape \(5, 3\)",
        ),
        (lambda x: tt.nn.ConvTranspose1d(4, 2, 3)(x), ShapeError, "ConvTranspose1d expects 4 features"),
        (lambda x: tt.nn.ConvTranspose1d(3, 2, 3)(x, [9]), ShapeError, "a Ragged has many"),
        (lambda _: tt.nn.ConvTranspose1d(3, 2, 0), ShapeError, "kernel_size is at least 1, got 0"),
        (lambda _: tt.nn.ConvTranspose1d(3, 2, 2, padding="same"), ShapeError, "at least 0, got 'same'"),
        (
            lambda _: tt.nn.ConvTranspose1d(3, 2, 2, 2, output_padding=2),
            ShapeError,
            "below the larger of stride and dilation, 2, got 2",
        ),
        (lambda x: tt.nn.Conv1d(3, 2, 3)([x]), InputTypeError, "takes a Ragged, got list"),
        (lambda _: tt.nn.Conv1d(4, 8, 0), ShapeError, "kernel_size is at least 1, got 0"),
        (lambda _: tt.nn.Conv1d(4, 8, 3, stride=0), ShapeError, "stride is at least 1, got 0"),
        (lambda _: tt.nn.Conv1d(4, 8, 3, dilation=0), ShapeError, "dilation is at least 1, got 0"),
        (lambda _: tt.nn.Conv1d(4, 8, 3, padding=-1), ShapeError, "padding is at least 0, got -1"),
        (lambda _: tt.nn.Conv1d(4, 8, 3, padding="full"), ShapeError, "'causal', got 'full'"),
        (lambda _: tt.nn.Conv1d(4, 8, 3, 2, padding="same"), ShapeError, "needs stride 1, got stride 2"),
        (lambda _: tt.nn.Conv1d(4, 8, 3, groups=3), ShapeError, "groups=3 and in_channels=4"),
        (lambda _: tt.nn.ConvBlock(4, 6, 3, groups=4), ShapeError, "groups=4 and out_channels=6"),
        (lambda _: tt.nn.Pool("median"), ShapeError, "max, mean, last, sum, std, top-k; got 'median'"),
        (lambda _: tt.nn.ConvBlock(3, 2, 3, pool=0), ShapeError, "at least 1 step"),
        (lambda _: tt.nn.WideConv(3, 2, ()), ShapeError, "at least one kernel size"),
        (lambda _: tt.nn.WideConv(3, 2, (1,), stride=2), ShapeError, "no stride=2"),
        (lambda _: tt.nn.WideConv(3, 2, (1,), padding="valid"), ShapeError, "'valid'"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call(_batch([3, 2]))


def _by_hand(batch_sizes: list[int], dtype: torch.dtype = torch.int64) -> nn.utils.rnn.PackedSequence:
    sizes = torch.tensor(batch_sizes, dtype=dtype)
    return nn.utils.rnn.PackedSequence(torch.zeros(5, 3, dtype=torch.float64), sizes)


def _with_weight(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> nn.Module:
    layer = tt.nn.LSTM(3, 4).double()
    layer.weight_hh_l0 = nn.Parameter(torch.zeros(shape, dtype=dtype))
    return layer


DENSE = torch.zeros(5, 2, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: tt.nn.GRU(3, 4)(DENSE),
            InputTypeError,
            "input is torch.float64, the weights are torch.float32",
        ),
        (lambda: tt.nn.GRU(3, 4)(DENSE.long()), InputTypeError, "torch.int64.*torch.nn.Embedding"),
        (lambda: tt.nn.GRU(3, 4)(_tokens([3]).values), ShapeError, "GRU"),
        (lambda: tt.nn.GRU(3, 4)(_tokens([3])), ShapeError, r"GRU takes \(T, features\).*\(3,\)"),
        (lambda: tt.nn.LSTM(3, 4)(torch.zeros(())), ShapeError, r"shape \(\)"),
        (lambda: tt.nn.LSTM(3, 4)(torch.zeros(1, 2, 3, 3)), ShapeError, r"shape \(1, 2, 3, 3\)"),
        (lambda: tt.nn.LSTM(3, 4)(torch.zeros(5, 2, 4)), ShapeError, r"expects 3 features.*\(5, 2, 4\)"),
        (
            lambda: tt.nn.LSTM(3, 4)([DENSE]),
            InputTypeError,
            "a Tensor, a PackedSequence or a Ragged, got list",
        ),
        (
            lambda: tt.nn.GRU(3, 4).double()(DENSE, torch.zeros(1, 2, 4)),
            InputTypeError,
            "h_0 is torch.float32",
        ),
        (
            lambda: tt.nn.GRU(3, 4, num_layers=2).double()(DENSE, torch.zeros(1, 2, 4).double()),
            ShapeError,
            r"\(1, 2, 4\), expected \(2, 2, 4\)",
        ),
        (
            lambda: tt.nn.GRU(3, 4).double()(DENSE[:, 0], torch.zeros(1, 1, 4).double()),
            ShapeError,
            r"expected \(1, 4\)",
        ),
        (
            lambda: tt.nn.GRU(3, 4).to("meta")(torch.zeros(5, 2, 3)),
            InputTypeError,
            "on cpu, the weights are on meta",
        ),
        (lambda: tt.nn.GRU(3, 4).double()(_by_hand([3, 3])), ShapeError, "add up to its 5 tokens"),
        (lambda: tt.nn.GRU(3, 4).double()(_by_hand([2, 3])), ShapeError, "never increase"),
        (lambda: tt.nn.GRU(3, 4).double()(_by_hand([3, 2], torch.int32)), ShapeError, "int64"),
        (
            lambda: _with_weight((16, 3))(DENSE),
            ShapeError,
            r"weight_hh_l0 has shape \(16, 3\), expected \(16, 4\)",
        ),
        (
            lambda: _with_weight((16, 4), torch.float32)(DENSE),
            InputTypeError,
            "float64 on cpu.*float32 on cpu",
        ),
        (
            lambda: tt.nn.RNN(3, 4, nonlinearity="sin"),
            ShapeError,
            "unknown activation 'sin'; choose one of affine",
        ),
        (lambda: tt.nn.LSTMCell(3, 4).double()(DENSE), ShapeError, r"\(3,\) or \(B, 3\), got shape"),
        (lambda: tt.nn.LSTMCell(3, 4).double()(DENSE[0, :, :2]), ShapeError, r"shape \(2, 2\)"),
        (lambda: tt.nn.LSTMCell(3, 4)(DENSE[0]), InputTypeError, "input is torch.float64"),
        (
            lambda: tt.nn.LSTMCell(3, 4).double()(DENSE[0], torch.zeros(2, 4)),
            InputTypeError,
            "pair of tensors",
        ),
        (
            lambda: tt.nn.GRUCell(3, 4).double()(DENSE[0], torch.zeros(3, 4).double()),
            ShapeError,
            r"\(3, 4\), expected \(2, 4\)",
        ),
        (
            lambda: tt.nn.RNNCell(3, 4).double()(DENSE[0], torch.zeros(2, 4)),
            InputTypeError,
            "h_0 is torch.float32",
        ),
    ],
)
def test_recurrent_layers_say_what_does_not_fit(call, error, words) -> None:
    for recorded in (True, False):
        with torch.set_grad_enabled(recorded), pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_travel(name: str) -> None:
    layer = getattr(tt.nn, name)(3, 4, num_layers=2, bidirectional=True)
    x = torch.randn(5, 2, 3)
    stored = io.BytesIO()
    torch.save(layer, stored)
    stored.seek(0)
    for other in (pickle.loads(pickle.dumps(layer)), torch.load(stored, weights_only=False)):
        assert torch.equal(other(x).output, layer(x).output)
    assert layer.to("meta")(x.to("meta")).output.shape == (5, 2, 8)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("parametrization", [weight_norm, orthogonal])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_are_copied_after_use(name: str, parametrization, recorded: bool) -> None:
    layer, x = getattr(tt.nn, name)(3, 4), torch.randn(5, 2, 3)
    parametrization(layer, "weight_hh_l0")
    with torch.set_grad_enabled(recorded):
        expected = layer(x).output
        for twin in (copy.deepcopy(layer), AveragedModel(layer).module):
            assert torch.equal(twin(x).output, expected)


def test_batch_statistics_are_those_of_real_tokens() -> None:
    torch.manual_seed(0)
    block = tt.nn.ConvBlock(3, 4, 1, norm="batch", activation=None).double()
    x = _batch([5, 0, 1, 7])
    found = block(x).values
    plain = x.values @ block.conv.weight[:, :, 0].t()
    expected = (plain - plain.mean(0)) / (plain.var(0, unbiased=False) + block.norm.eps).sqrt()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(block.norm.running_mean, 0.1 * plain.mean(0))


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh])
def test_a_batch_without_tokens_leaves_running_statistics_alone_and_has_gradients_of_zero(activation) -> None:
    block = tt.nn.ConvBlock(3, 4, 1, norm="batch", activation=activation).double()
    before = block.norm.running_mean.clone()
    y = block(_batch([0, 0]))
    assert len(y) == 2
    torch.testing.assert_close(block.norm.running_mean, before, rtol=0, atol=0)
    y.values.sum().backward()
    assert all(not parameter.grad.any() for parameter in block.parameters())


@pytest.mark.parametrize("kind", ["max", "mean", "last"])
def test_pool_does_not_see_its_neighbours(kind: str) -> None:
    huge = Ragged.from_list(
        [torch.full((2, 1), 1e30), torch.tensor([[1.0], [2.0]]), torch.full((1, 1), -1e30)]
    )
    assert float(tt.nn.Pool(kind)(huge)[1]) in {2.0, 1.5}


def test_blocks_take_plain_tensors_as_torch_does() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9)
    wide = tt.nn.WideConv(3, 4, (2, 3), padding="causal")
    block = tt.nn.ConvBlock(3, 4, 3, padding="same", norm="batch", pool=2).eval()
    for layer in (wide, block):
        found = layer(x)
        ragged = layer(Ragged.from_list([row.t() for row in x]))
        for row, expected in zip(found, ragged, strict=True):
            torch.testing.assert_close(row.t(), expected)


def test_causal_convolution_does_not_see_the_future() -> None:
    conv = tt.nn.Conv1d(2, 3, 3, padding="causal", dilation=2).double()
    values = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    output = conv(Ragged.from_lengths(values, [8])).values
    (gradient,) = torch.autograd.grad(output[5].sum(), values)
    seen = gradient.abs().sum(1).nonzero().flatten().tolist()
    assert seen == [1, 3, 5]


def _lstm_by_equations(layer: nn.LSTM, x: Tensor) -> Tensor:
    h = c = torch.zeros(layer.hidden_size, dtype=x.dtype)
    outputs = []
    for step in x:
        gates = layer.weight_ih_l0 @ step + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return torch.stack(outputs)


def test_lstm_follows_the_equations_of_its_docstring() -> None:
    layer = tt.nn.LSTM(3, 4).double()
    x = _batch([6, 2])
    for found, sequence in zip(layer(x).output, x, strict=True):
        torch.testing.assert_close(found, _lstm_by_equations(layer, sequence))


@pytest.mark.parametrize("model", [tt.models.TextCNN, tt.models.BiLSTM, tt.models.BiGRU])
def test_models_read_each_sequence_alone(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    classifier = model(11, 3).double().eval()
    tokens = _tokens([6, 0, 1, 9])
    logits = classifier(tokens)
    assert logits.shape == (4, 3)
    for b in range(4):
        torch.testing.assert_close(classifier(tokens[[b]])[0], logits[b])


def test_text_cnn_has_the_parameters_that_its_paper_implies() -> None:
    model = tt.models.TextCNN(1000, 6, embedding_size=300)
    convolutions = sum(300 * 100 * width + 100 for width in (3, 4, 5))
    expected = 1000 * 300 + convolutions + 300 * 6 + 6
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_an_lstm_has_four_and_a_gru_three_times_the_parameters_of_an_rnn() -> None:
    count = {
        name: sum(p.numel() for p in getattr(tt.nn, name)(7, 5).parameters())
        for name in ("RNN", "GRU", "LSTM")
    }
    assert count["LSTM"] == 4 * count["RNN"]
    assert count["GRU"] == 3 * count["RNN"]


@pytest.mark.parametrize(
    "spoil", [lambda offsets: offsets * 2, lambda offsets: offsets.flip(0), torch.zeros_like]
)
def test_offsets_that_a_map_over_the_batch_has_made_are_refused(spoil) -> None:
    x = _batch([3, 2])
    offsets = spoil(x.offsets)
    broken = Ragged(x.values, offsets, layout=type(x.layout)(offsets))
    with pytest.raises(ShapeError, match="do not match its 5 tokens"):
        tt.nn.GRU(3, 4).double()(broken)
