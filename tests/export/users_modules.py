"""Modules as users of torch.nn write them, with layers of throughtime, and how to draw their inputs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import throughtime as tt

TOKENS = 20


class PackedTagger(nn.Module):
    """A bidirectional LSTM on packed sequences: scores for every step, and the final states."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 5)
        self.lstm = tt.nn.LSTM(5, 6, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(12, 3)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        x = self.embedding(tokens)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, (h, c) = self.lstm(packed)
        y, unpacked = pad_packed_sequence(packed, batch_first=True, total_length=tokens.shape[1])
        return self.scores(y), h, c, unpacked


class SortedPacked(nn.Module):
    """A GRU on packed sequences that come sorted, steps first, from a state; padded with −1 to the longest."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = tt.nn.GRU(3, 4)

    def forward(self, x: Tensor, lengths: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        packed, h = self.gru(pack_padded_sequence(x, lengths), h)
        y, _ = pad_packed_sequence(packed, padding_value=-1.0)
        return y, h, packed.data.sum(0)


class RaggedTagger(PackedTagger):
    """The same on a Ragged made inside of padded tokens and lengths, and a mean over one made with a mask."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        x = tt.Ragged.from_padded(self.embedding(tokens), lengths=lengths)
        y, (h, c) = self.lstm(x)
        masked = tt.Ragged.from_padded(self.embedding(tokens), mask=tokens.cumsum(1) > 0)
        mean = tt.nn.Pool("mean")(masked)
        return self.scores(y).to_padded(length=tokens.shape[1]), h, c, mean


class MeanOfPadded(PackedTagger):
    """The mean over the real steps of a padded batch."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.lstm(self.embedding(tokens))
        inside = torch.arange(tokens.shape[1]) < lengths[:, None]
        return self.scores(torch.where(inside[..., None], y, 0.0).sum(1) / lengths[:, None])


class Attention(nn.Module):
    """Attention over the states of an encoder, with a mask from the lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 5)
        self.encoder = tt.nn.GRU(5, 6, batch_first=True)
        self.score, self.classes = nn.Linear(6, 1), nn.Linear(6, 3)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.encoder(self.embedding(tokens))
        inside = torch.arange(tokens.shape[1]) < lengths[:, None]
        weights = self.score(y).squeeze(-1).masked_fill(~inside, float("-inf")).softmax(1)
        return self.classes(torch.bmm(weights[:, None], y).squeeze(1)), weights


class CRNN(nn.Module):
    """A convolution over images (B, 1, 8, L), and a bidirectional LSTM along their width."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.lstm = tt.nn.LSTM(16, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.scores = nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.convolution(images)
        y, _ = self.lstm(maps.permute(0, 3, 1, 2).flatten(2))
        return self.scores(y).log_softmax(-1)


class ConvolutionalRNN(nn.Module):
    """A convolution and a pool in time on (B, 3, L), and a bidirectional RNN, steps first."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Sequential(tt.nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), tt.nn.MaxPool1d(2))
        self.rnn = tt.nn.RNN(4, 6, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.rnn(self.convolution(x).permute(2, 0, 1))
        return y


class TCN(nn.Module):
    """Blocks of causal convolutions on (B, 3, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            tt.nn.TemporalBlock(3, 4, 3), tt.nn.TemporalBlock(4, 4, 3, dilation=2), nn.ReLU()
        )
        self.convolution, self.scores = tt.nn.Conv1d(4, 5, 2, padding="causal"), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.convolution(self.blocks(x)).transpose(1, 2))


class LanguageModel(nn.Module):
    """Scores for the next token, from a state and with the state after the last token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 5)
        self.lstm = tt.nn.LSTM(5, 6, num_layers=2)
        self.scores = nn.Linear(6, TOKENS)

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        y, (h, c) = self.lstm(self.embedding(tokens), (h, c))
        return self.scores(y), h, c


class Decoder(nn.Module):
    """One step of a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = tt.nn.LSTMCell(3, 4)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.cell(x, (h, c))


def _lengths(count: int, steps: int) -> Tensor:
    """Lengths from 1 on, of which one is that of the padded batch."""
    lengths = torch.randint(1, steps + 1, (count,))
    lengths[-1] = steps
    return lengths


def _padded_tokens(count: int, steps: int) -> tuple[Tensor, Tensor]:
    return torch.randint(0, TOKENS, (count, steps)), _lengths(count, steps)


def _sorted(count: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    lengths = _lengths(count, steps).sort(descending=True).values
    return torch.randn(steps, count, 3), lengths, torch.randn(1, count, 4)


def _channels(count: int, steps: int) -> tuple[Tensor]:
    return (torch.randn(count, 3, 2 * steps),)


def _with_state(count: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    state = (torch.randn(2, count, 6), torch.randn(2, count, 6))
    return torch.randint(0, TOKENS, (steps, count)), *state


class Case(NamedTuple):
    """A module, a function that draws its inputs for B sequences of L steps, and the dimensions that vary."""

    make: Callable[[], nn.Module]
    inputs: Callable[[int, int], tuple[Tensor, ...]]
    dynamic_shapes: tuple[dict[int, Any], ...]
    recurrent: dict[str, int]
    """How many recurrent operators of ONNX it becomes."""


_D = Dim.DYNAMIC
_BOTH, _FIRST, _SECOND = {0: _D, 1: _D}, {0: _D}, {1: _D}

CASES = {
    "packed": Case(PackedTagger, _padded_tokens, (_BOTH, _FIRST), {"LSTM": 1}),
    "packed and sorted": Case(SortedPacked, _sorted, (_BOTH, _FIRST, _SECOND), {"GRU": 1}),
    "Ragged inside": Case(RaggedTagger, _padded_tokens, (_BOTH, _FIRST), {"LSTM": 1}),
    "padded": Case(MeanOfPadded, _padded_tokens, (_BOTH, _FIRST), {"LSTM": 1}),
    "attention": Case(Attention, _padded_tokens, (_BOTH, _FIRST), {"GRU": 1}),
    "CRNN of images": Case(CRNN, lambda n, t: (torch.randn(n, 1, 8, 2 * t),), ({0: _D, 3: _D},), {"LSTM": 2}),
    "CRNN": Case(ConvolutionalRNN, _channels, ({0: _D, 2: _D},), {"RNN": 1}),
    "TCN": Case(TCN, _channels, ({0: _D, 2: _D},), {}),
    "language model": Case(LanguageModel, _with_state, (_BOTH, _SECOND, _SECOND), {"LSTM": 2}),
    "cell": Case(
        Decoder,
        lambda n, _: (torch.randn(n, 3), torch.randn(n, 4), torch.randn(n, 4)),
        (_FIRST, _FIRST, _FIRST),
        {"LSTM": 1},
    ),
}
