"""Every model of `tt.models`: a sequence's result has the same bits alone, in any batch, order and number of threads.

Run as a module, it does so for the instruction set of this process, and prints its name and the models.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged, _native

LENGTHS = [7, 30, 1, 33, 12, 12, 2, 64, 150, 5, 9, 17, 3, 28, 1, 6, 4, 11, 2]
WORDS, SIZE, CLASSES = 53, 11, 5


class Subject(NamedTuple):
    """A model, and a batch that it reads: its sequences by index, as a batch again."""

    make: Callable[[], nn.Module]
    batch: Callable[[torch.dtype], Any]


def _texts(_: torch.dtype) -> Ragged:
    return Ragged.from_lengths(torch.randint(WORDS, (sum(LENGTHS),)), LENGTHS)


def _series(dtype: torch.dtype) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(LENGTHS), SIZE, dtype=dtype), LENGTHS)


def _frames(dtype: torch.dtype) -> Ragged:
    return Ragged.from_lengths((torch.rand(sum(LENGTHS), SIZE) < 0.3).to(dtype), LENGTHS)


def _learned(model: tt.models.Rocket) -> tt.models.Rocket:
    model.learn(_series(torch.float32))
    return model


SUBJECTS = {
    "TextCNN": Subject(lambda: tt.models.TextCNN(WORDS, CLASSES, embedding_size=21, channels=17), _texts),
    "CharCNN": Subject(
        lambda: tt.models.CharCNN(WORDS, CLASSES, length=130, channels=16, hidden_size=70), _texts
    ),
    "TCN": Subject(lambda: tt.models.TCN(SIZE, CLASSES, channels=(19, 19, 35)), _series),
    "FCN": Subject(lambda: tt.models.FCN(SIZE, CLASSES, channels=(19, 35, 67)), _series),
    "ResNet": Subject(lambda: tt.models.ResNet(SIZE, CLASSES, channels=(19, 35, 35)), _series),
    "InceptionTime": Subject(
        lambda: tt.models.InceptionTime(SIZE, CLASSES, members=2, depth=4, channels=9, kernel_sizes=(6, 3)),
        _series,
    ),
    "LSTMFCN": Subject(lambda: tt.models.LSTMFCN(SIZE, CLASSES), _series),
    "Rocket": Subject(
        lambda: _learned(tt.models.Rocket(SIZE, CLASSES, features=1000, normalize=True)), _series
    ),
    "BiLSTM": Subject(lambda: tt.models.BiLSTM(WORDS, CLASSES, embedding_size=21, hidden_size=37), _texts),
    "BiGRU": Subject(lambda: tt.models.BiGRU(WORDS, CLASSES, embedding_size=21, hidden_size=37), _texts),
    "BiRNN": Subject(lambda: tt.models.BiRNN(WORDS, CLASSES, embedding_size=21, hidden_size=37), _texts),
    "LSTMModel": Subject(
        lambda: tt.models.LSTMModel(WORDS, CLASSES, embedding_size=21, hidden_size=37), _texts
    ),
    "GRUModel": Subject(
        lambda: tt.models.GRUModel(WORDS, CLASSES, embedding_size=21, hidden_size=37), _texts
    ),
    "RNNModel": Subject(
        lambda: tt.models.RNNModel(WORDS, CLASSES, embedding_size=21, hidden_size=37), _texts
    ),
    "Blend": Subject(
        lambda: tt.models.Blend(
            [
                [tt.models.TextCNN(WORDS, CLASSES, embedding_size=21, channels=17) for _ in range(2)],
                [tt.models.NGrams(WORDS, CLASSES, buckets=256)],
            ]
        ),
        _texts,
    ),
    "NGrams": Subject(lambda: tt.models.NGrams(WORDS, CLASSES, longest=3, buckets=256), _texts),
    "ForecastModel": Subject(
        lambda: tt.models.ForecastModel(SIZE, embedding_size=21, hidden_size=37, num_layers=2), _series
    ),
    "LanguageModel": Subject(
        lambda: tt.models.LanguageModel(WORDS, embedding_size=21, hidden_size=37), _texts
    ),
    "LanguageModel, adaptive": Subject(
        lambda: tt.models.LanguageModel(WORDS, embedding_size=21, hidden_size=37, cutoffs=(10, 30)), _texts
    ),
    "FrameModel": Subject(lambda: tt.models.FrameModel(SIZE, embedding_size=21, hidden_size=37), _frames),
}
# Its two-dimensional convolutions are torch's, which promise nothing of the kind.
TORCHS = {"LeNet"}


def made(subject: Subject, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """The model with statistics as of a training, in evaluation, and its batch."""
    torch.manual_seed(0)
    model = subject.make().to(dtype).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model, subject.batch(dtype)


def results(model: nn.Module, x: Any) -> list[Tensor]:
    """What comes of each sequence."""
    with torch.no_grad():
        return list(model(x))


def check(name: str, dtype: torch.dtype) -> None:
    """Raise an AssertionError unless every sequence's bits are its own."""
    model, x = made(SUBJECTS[name], dtype)
    expected = results(model, x)
    order = torch.randperm(len(expected)).tolist()
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            _same(results(model, x), expected, f"{name}: {threads} threads")
            _same(results(model, x[order]), [expected[b] for b in order], f"{name}: another order")
            _same(results(model, x[3:7]), expected[3:7], f"{name}: another batch")
        for b, right in enumerate(expected):
            _same(results(model, x[[b]]), [right], f"{name}: sequence {b} alone")
    finally:
        torch.set_num_threads(before)


def _same(found: list[Tensor], expected: list[Tensor], said: str) -> None:
    for b, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert torch.equal(one, other), (
            f"{said}: sequence {b} differs by {float((one - other).abs().max()):.1e}"
        )


if __name__ == "__main__":
    for each in SUBJECTS:
        check(each, torch.float32)
    sys.stdout.write(f"{_native.instruction_set()} {len(SUBJECTS)}\n")
