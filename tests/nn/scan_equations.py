"""The equations of the layers that run in parallel over time, one step after the other, for one sequence."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Step = Callable[[Tensor, list[Tensor], Tensor], tuple[Tensor, Tensor]]


def _positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


_ACTIVATIONS = {"positive": _positive, "identity": lambda x: x, "tanh": torch.tanh}


def _min_gru(layer: Any) -> Step:
    phi = _ACTIVATIONS[layer.candidate]

    def step(h: Tensor, u: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        del x
        z = torch.sigmoid(u[0])
        h = (1 - z) * h + z * phi(u[1])
        return h, h

    return step


def _min_lstm(layer: Any) -> Step:
    phi = _ACTIVATIONS[layer.candidate]

    def step(h: Tensor, u: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        del x
        f, i = torch.sigmoid(u[0]), torch.sigmoid(u[1])
        h = f / (f + i) * h + i / (f + i) * phi(u[2])
        return h, h

    return step


def _qrnn(layer: Any) -> Step:
    def step(c: Tensor, u: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        del x
        f = torch.sigmoid(u[0])
        if layer.pooling == "ifo":
            c = f * c + torch.sigmoid(u[1]) * torch.tanh(u[2])
        else:
            c = f * c + (1 - f) * torch.tanh(u[1])
        return c, c if layer.pooling == "f" else torch.sigmoid(u[-1]) * c

    return step


def _sru(layer: Any) -> Step:
    del layer

    def step(c: Tensor, u: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        f, r = torch.sigmoid(u[0]), torch.sigmoid(u[2])
        c = f * c + (1 - f) * u[1]
        return c, r * c + (1 - r) * (u[3] if len(u) > 3 else x)

    return step


_STEPS = {"MinGRU": _min_gru, "MinLSTM": _min_lstm, "QRNN": _qrnn, "SRU": _sru}


def by_steps(layer: nn.Module, sequence: Tensor) -> Tensor:
    """The output (L, H · directions) of a sequence (L, I)."""
    step = _STEPS[type(layer).__name__](layer)
    x = sequence
    for number in range(layer.num_layers):
        outputs = [_direction(layer, step, x, f"l{number}")]
        if layer.bidirectional:
            outputs.append(_direction(layer, step, x.flip(0), f"l{number}_reverse").flip(0))
        x = torch.cat(outputs, 1)
    return x


def _direction(layer: Any, step: Step, x: Tensor, suffix: str) -> Tensor:
    weight = getattr(layer, f"weight_ih_{suffix}")
    weight = weight if weight.dim() == 3 else weight[:, :, None]
    taps = weight.shape[2]
    state, outputs = x.new_zeros(layer.hidden_size), []
    for t in range(len(x)):
        u = getattr(layer, f"bias_ih_{suffix}") if layer.bias else x.new_zeros(len(weight))
        for k in range(taps):
            if t - taps + 1 + k >= 0:
                u = u + weight[:, :, k] @ x[t - taps + 1 + k]
        state, output = step(state, list(u.split(layer.hidden_size)), x[t])
        outputs.append(output)
    return torch.stack(outputs)
