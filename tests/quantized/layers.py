"""Layers that have an int8 form, for the tests of this folder."""

from collections.abc import Callable

import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged

FEATURES = 5

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: tt.nn.Linear(FEATURES, 21),
    "torch.nn.Linear": lambda: nn.Linear(FEATURES, 70, bias=False),
    "Readout": lambda: tt.nn.Readout(FEATURES, 3),
    "Conv1d": lambda: tt.nn.Conv1d(FEATURES, 20, 3, padding=1),
    "Conv1d, causal and dilated": lambda: tt.nn.Conv1d(
        FEATURES, 33, 3, padding="causal", dilation=2, bias=False
    ),
    "Conv1d, strided": lambda: tt.nn.Conv1d(FEATURES, 7, 2, stride=3, padding=4),
    "Conv1d, replicate": lambda: tt.nn.Conv1d(FEATURES, 7, 4, padding="same", padding_mode="replicate"),
    "LSTM": lambda: tt.nn.LSTM(FEATURES, 40),
    "LSTM, deep and bidirectional": lambda: tt.nn.LSTM(FEATURES, 17, num_layers=2, bidirectional=True),
    "GRU": lambda: tt.nn.GRU(FEATURES, 40, num_layers=2),
    "GRU, without bias": lambda: tt.nn.GRU(FEATURES, 6, bias=False),
    "GRU, bidirectional": lambda: tt.nn.GRU(FEATURES, 16, bidirectional=True),
    "RNN": lambda: tt.nn.RNN(FEATURES, 70),
    "RNN, relu": lambda: tt.nn.RNN(FEATURES, 9, nonlinearity="relu", bidirectional=True),
    "torch.nn.LSTM": lambda: nn.LSTM(FEATURES, 8, batch_first=True),
}

RECURRENT = [name for name in LAYERS if name.split(",")[0].split(".")[-1] in {"LSTM", "GRU", "RNN"}]
STEPPING = [name for name in RECURRENT if "bidirectional" not in name and "relu" not in name]


def layer(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return LAYERS[name]()


def batch(lengths: list[int], seed: int = 0) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(sum(lengths), 1, generator=generator) * 3  # tokens of different magnitudes
    return Ragged.from_lengths(torch.randn(sum(lengths), FEATURES, generator=generator) * scale, lengths)


def values(result: object) -> torch.Tensor:
    """The tokens of what a layer returns for a Ragged."""
    return getattr(result, "output", result).values
