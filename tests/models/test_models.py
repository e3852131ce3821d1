"""Named models: each sequence alone, parameter counts of paper or reference code, and errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError

TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def _series(lengths: list[int]) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), 2, dtype=torch.float64), lengths)


def _texts(lengths: list[int]) -> Ragged:
    return Ragged.from_lengths(torch.randint(0, 11, (sum(lengths),)), lengths)


def _small_char_cnn() -> nn.Module:
    return tt.models.CharCNN(11, 3, length=130, channels=16, hidden_size=16)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[list[int]], Ragged]]] = {
    "TextCNN": (lambda: tt.models.TextCNN(11, 3, embedding_size=5, channels=4), _texts),
    "CharCNN": (_small_char_cnn, _texts),
    "TCN": (lambda: tt.models.TCN(2, 3, channels=(4, 4, 5), kernel_size=3), _series),
    "FCN": (lambda: tt.models.FCN(2, 3, channels=(4, 5, 4)), _series),
    "ResNet": (lambda: tt.models.ResNet(2, 3, channels=(4, 5, 5)), _series),
    "InceptionTime": (
        lambda: tt.models.InceptionTime(2, 3, members=2, depth=4, channels=2, kernel_sizes=(6, 3)),
        _series,
    ),
    "LSTMFCN": (lambda: tt.models.LSTMFCN(2, 3), _series),
    "BiLSTM": (lambda: tt.models.BiLSTM(11, 3, embedding_size=4, hidden_size=4), _texts),
    "BiGRU": (lambda: tt.models.BiGRU(11, 3, embedding_size=4, hidden_size=4), _texts),
}
each_model = pytest.mark.parametrize(("make", "batch"), MODELS.values(), ids=MODELS.keys())


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = make().double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model


def _gradients(model: nn.Module, logits: Tensor, rows: list[int]) -> list[Tensor]:
    """Of a loss in which the b-th row weighs as its number in ``rows`` says."""
    weights = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    loss = sum((logits[b] * weights * (row + 1)).sum() for b, row in enumerate(rows))
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [torch.zeros(()) if one is None else one for one in found]


@each_model
def test_a_sequence_alone_is_the_sequence_in_a_batch(make, batch) -> None:
    model, x = _made(make), batch([6, 0, 1, 9, 140])
    logits = model(x)
    assert logits.shape == (5, 3)
    alone = [model(x[[b]]) for b in range(5)]
    torch.testing.assert_close(logits, torch.cat(alone), **TIGHT)
    summed = [_gradients(model, one, [b]) for b, one in enumerate(alone)]
    expected = [sum(parts) for parts in zip(*summed, strict=True)]
    torch.testing.assert_close(_gradients(model, logits, list(range(5))), expected, **TIGHT)


@each_model
def test_order_and_empty_sequences_do_not_matter(make, batch) -> None:
    model, x = _made(make), batch([6, 3, 9])
    logits = model(x)
    torch.testing.assert_close(model(x[[2, 0, 1]]), logits[[2, 0, 1]], **TIGHT)
    with_empty = Ragged.cat([x[:1], batch([0]), x[1:]])
    torch.testing.assert_close(model(with_empty)[[0, 2, 3]], logits, **TIGHT)
    for lengths in ([], [0], [0, 0]):
        assert model(batch(lengths)).shape == (len(lengths), 3)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own remark
@pytest.mark.parametrize("name", ["TCN", "FCN", "ResNet", "InceptionTime", "LSTMFCN"])
def test_series_of_one_length_may_come_as_torch_has_them(name: str) -> None:
    model, x = _made(MODELS[name][0]), _series([9, 9, 9])
    plain = torch.stack([row.t() for row in x])
    torch.testing.assert_close(model(plain), model(x), **TIGHT)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _biases_before_batch_norm(model: nn.Module) -> int:
    """Reference codes have a bias that batch normalisation subtracts again; ours have none."""
    blocks = (part for part in model.modules() if isinstance(part, tt.nn.ConvBlock))
    return sum(b.conv.out_channels for b in blocks if b.conv.bias is None and b.norm is not None)


def test_fcn_and_resnet_have_the_trainable_parameters_of_the_reference_code() -> None:
    """Of Fawaz's dl-4-tsc, counted layer by layer for one channel and two classes."""
    fcn = 8 * 128 + 128 + 5 * 128 * 256 + 256 + 3 * 256 * 128 + 128 + 2 * (128 + 256 + 128) + 128 * 2 + 2
    model = tt.models.FCN(1, 2)
    assert _count(model) + _biases_before_batch_norm(model) == fcn == 264_962
    model = tt.models.ResNet(1, 2)
    assert _count(model) + _biases_before_batch_norm(model) == 504_258


def test_an_inception_network_has_the_parameters_of_the_reference_code() -> None:
    """One channel has no bottleneck in the first module; nothing but the last layer has a bias."""
    wide = 32 * 32 * (40 + 20 + 10)
    first = 32 * (40 + 20 + 10) + 1 * 32 + 2 * 128
    other = 128 * 32 + wide + 128 * 32 + 2 * 128
    shortcuts = (1 * 128 + 2 * 128) + (128 * 128 + 2 * 128)
    expected = first + 5 * other + shortcuts + 128 * 2 + 2
    assert _count(tt.models.InceptionTime(1, 2, members=1)) == expected
    assert _count(tt.models.InceptionTime(1, 2)) == 5 * expected


def test_tcn_has_the_size_that_the_paper_names() -> None:
    """About 70,000 for sequential MNIST (tables 1 and 2): 25 features, 8 blocks, kernels of 7."""
    level = 2 * (7 * 25 * 25 + 25 + 25)
    first = (7 * 25 + 25 + 25) + (7 * 25 * 25 + 25 + 25) + (25 + 25)
    expected = first + 7 * level + 25 * 10 + 10
    assert _count(tt.models.TCN(1, 10)) == expected
    assert round(expected, -4) == 70_000


def test_lstm_fcn_has_the_parameters_of_the_reference_code() -> None:
    """Of titu1994/LSTM-FCN for CBF: 128 steps, 3 classes; Keras has one bias where torch's LSTM has two."""
    fcn = 8 * 128 + 128 + 5 * 128 * 256 + 256 + 3 * 256 * 128 + 128 + 2 * (128 + 256 + 128)
    lstm = 4 * (128 * 8 + 8 * 8 + 8)
    expected = fcn + lstm + (8 + 128) * 3 + 3
    model = tt.models.LSTMFCN(1, 3, length=128)
    assert _count(model) + _biases_before_batch_norm(model) - 4 * 8 == expected


@pytest.mark.parametrize(("channels", "hidden", "frames"), [(1024, 2048, 34_816), (256, 1024, 8_704)])
def test_char_cnn_has_the_layers_of_the_papers_tables(channels: int, hidden: int, frames: int) -> None:
    with torch.device("meta"):
        model = tt.models.CharCNN(70, 4, channels=channels, hidden_size=hidden)
    assert model.frames * channels == frames
    convolutions = 7 * 70 * channels + 7 * channels**2 + 4 * 3 * channels**2 + 6 * channels
    linear = frames * hidden + hidden + hidden**2 + hidden + hidden * 4 + 4
    assert _count(model) == convolutions + linear


def test_lenet_has_the_layers_of_the_paper() -> None:
    """C1 156, C5 48,120 and F6 10,164 as in the paper; its C3 has 1,516, as it does not see all maps."""
    model = tt.models.LeNet()
    layers = [model.body[0].conv, model.body[1].conv, *model.hidden, model.output]
    assert [_count(layer) for layer in layers] == [156, 2_416, 48_120, 10_164, 850]


def test_lenet_is_its_layers_in_order() -> None:
    torch.manual_seed(0)
    model = tt.models.LeNet(pool="max", activation=torch.relu)
    first, second = (block.conv for block in model.body)
    twin = nn.Sequential(
        first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        model.hidden[0], nn.ReLU(), model.hidden[1], nn.ReLU(), model.output,
    )  # fmt: skip
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(model(images), twin(images))


def test_the_ensemble_averages_probabilities() -> None:
    model = _made(lambda: tt.models.InceptionTime(2, 3, members=3, depth=3, channels=2, kernel_sizes=(4, 2)))
    x = _series([5, 9])
    expected = torch.stack([member(x).softmax(1) for member in model.members]).mean(0)
    torch.testing.assert_close(model(x).exp(), expected)


def test_a_tcn_runs_on_a_stream_and_sees_what_its_formula_says() -> None:
    model = _made(lambda: tt.models.TCN(2, 3, channels=(4,) * 4, kernel_size=3))
    assert tt.nn.receptive_field(model.body).size == 1 + 2 * 2 * (2**4 - 1)
    x = _series([12, 7])
    stream, state = tt.nn.Stream(nn.Sequential(model.body, model.output)), None
    head, tail = x.split_time([5, 7])
    first, state = stream(head, state)
    second, state = stream(tail, state)
    torch.testing.assert_close(Ragged.cat_time([first, second]).values, model.every_step(x).values, **TIGHT)
    torch.testing.assert_close(model.every_step(x)[1][-1], model(x)[1], **TIGHT)


def test_char_cnn_cuts_long_texts_and_knows_no_other_characters() -> None:
    model, x = _made(_small_char_cnn), _texts([200])
    torch.testing.assert_close(model(x), model(Ragged.from_lengths(x.values[:130], [130])))
    strange = x.values.clone()
    strange[:5] = torch.tensor([-1, 11, 99, -7, 12])
    torch.testing.assert_close(
        model(Ragged.from_lengths(strange, [200])),
        model(Ragged.from_lengths(torch.where(torch.arange(200) < 5, 11, x.values), [200])),
    )
    # A last digit in the 6th place is enough: weights of the beginning say little after six layers.
    assert not torch.allclose(model(Ragged.from_lengths(strange, [200])), model(x), rtol=1e-7)


@pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel lengths:UserWarning"
)  # torch's, once
def test_the_shuffled_lstm_reads_channels_as_steps() -> None:
    model = _made(lambda: tt.models.LSTMFCN(2, 3, length=6))
    x = _series([6, 6])
    h, _ = model.recurrent(torch.stack([row.t() for row in x])).state
    joined = torch.cat([h[-1], tt.nn.Pool("mean")(model.body(x))], 1)
    torch.testing.assert_close(model(x), model.output(joined))
    with pytest.raises(ShapeError, match=r"sequence 1 has 4 steps, expected length=6"):
        model(_series([6, 4]))
    plain = torch.stack([row.t() for row in x])
    torch.testing.assert_close(model(plain), model(x), **TIGHT)
    with pytest.raises(ShapeError, match=r"sequence 0 has 5 steps, expected length=6"):
        model(plain[:, :, :5])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tt.models.CharCNN(70, 4, length=100), "at least 123 characters, got 100"),
        (lambda: tt.models.LeNet(pool="sum"), "'mean' or 'max', got 'sum'"),
        (lambda: tt.models.InceptionTime(1, 2, members=0), "at least 1 member, got 0"),
        (lambda: tt.models.BiLSTM(5, 2, pool="sum"), "BiLSTM: pool is one of max, mean, last; got 'sum'"),
        (lambda: tt.models.BiGRU(5, 2, pool="top-k"), "BiGRU: pool is one of max, mean, last; got 'top-k'"),
    ],
)
def test_what_cannot_be_built_is_named(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        make()
