"""Cases of the contract for pooling, blocks and stacks, with their references in torch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt

from .case import FEATURES, Case


def _pooled(layer: nn.Module, sequence: Tensor) -> Tensor | None:
    twin = {tt.nn.MaxPool1d: nn.MaxPool1d, tt.nn.AvgPool1d: nn.AvgPool1d}[type(layer)]
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad")
    torchs = twin(**{name: getattr(layer, name) for name in names if hasattr(layer, name)})
    try:
        return torchs(sequence.t()[None])[0].t()
    except RuntimeError:
        return None  # torch refuses a sequence without a window, and so do we


def _pool_cases() -> list[Case]:
    options: list[tuple[type[nn.Module], dict[str, Any]]] = [
        (tt.nn.MaxPool1d, {"kernel_size": 2}),
        (tt.nn.MaxPool1d, {"kernel_size": 3, "stride": 1, "padding": 1}),
        (tt.nn.MaxPool1d, {"kernel_size": 3, "stride": 2, "dilation": 2, "padding": 1}),
        (tt.nn.MaxPool1d, {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
        (tt.nn.MaxPool1d, {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
        (tt.nn.AvgPool1d, {"kernel_size": 2}),
        (tt.nn.AvgPool1d, {"kernel_size": 3, "stride": 2, "padding": 1}),
        (tt.nn.AvgPool1d, {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
        (tt.nn.AvgPool1d, {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True}),
        (tt.nn.AvgPool1d, {"kernel_size": 3, "stride": 2, "ceil_mode": True, "count_include_pad": False}),
    ]
    return [
        Case(f"{cls.__name__} {given}", lambda cls=cls, given=given: cls(**given), _pooled)
        for cls, given in options
    ]


def _top_k(layer: nn.Module, x: Tensor) -> Tensor:
    columns = [column[column.topk(min(layer.k, len(x))).indices.sort().values] for column in x.t()]
    return F.pad(torch.stack(columns, 1), (0, 0, 0, layer.k - min(layer.k, len(x))))


def _attended(layer: nn.Module, x: Tensor) -> Tensor:
    scores = torch.tanh(x @ layer.attention.weight.t() + layer.attention.bias) @ layer.context.weight[0]
    return scores.softmax(0) @ x


def _group(layer: nn.Module, x: Tensor) -> Tensor:
    return F.group_norm(x.t()[None], layer.num_groups, layer.weight, layer.bias, layer.eps)[0].t()


def _instance(layer: nn.Module, x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred / (centred.square().mean(0) + layer.eps).sqrt() * layer.weight + layer.bias


def _scaled(norm: nn.Module) -> nn.Module:
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    return norm


def plainly(layer: nn.Module, x: Tensor) -> Tensor:
    """What a block makes of the plain tensor (1, C, L) of this sequence."""
    return layer(x.t()[None])[0].t()


def _temporal(layer: nn.Module, x: Tensor) -> Tensor:
    """By the paper's figure: weights of unit length times g, zeros in front, cut at the end."""
    y = x.t()[None]
    for block in layer.body:
        g = block.conv.parametrizations.weight.original0
        v = block.conv.parametrizations.weight.original1
        weight = g * v / v.flatten(1).norm(dim=1)[:, None, None]
        reach = block.conv.dilation[0] * (block.conv.kernel_size[0] - 1)
        y = F.conv1d(F.pad(y, (reach, 0)), weight, block.conv.bias, dilation=block.conv.dilation).relu()
    shortcut = x if isinstance(layer.shortcut, nn.Identity) else plainly(layer.shortcut, x)
    return (y[0].t() + shortcut).relu()


def _wavenet(layer: nn.Module, x: Tensor) -> Tensor:
    conv = layer.conv
    padded = F.pad(x.t()[None], (conv.windows.left, 0))
    filters, gates = (
        F.conv1d(padded, weight, bias, dilation=conv.dilation)
        for weight, bias in zip(conv.weight.chunk(2), conv.bias.chunk(2), strict=True)
    )
    filters = filters.tanh() if layer.gate == "tanh" else filters
    return (filters * gates.sigmoid())[0].t()


def wavenet_layer() -> nn.Module:
    gated = tt.nn.GatedBlock(FEATURES, FEATURES, 2, dilation=2)
    return tt.nn.Residual(nn.Sequential(gated, tt.nn.Conv1d(FEATURES, FEATURES, 1)))


def causal_stack() -> nn.Module:
    stack = tt.nn.ConvStack(FEATURES, [4, 4], (3, 2), dilations=(1, 2), padding="causal", norm="batch")
    return nn.Sequential(stack, tt.nn.TemporalBlock(4, 5, 2, dilation=2), nn.Linear(5, 4))


_BLOCK = {"padding": "same", "activation": torch.tanh}

BLOCK_CASES = [
    *_pool_cases(),
    Case("Pool sum", lambda: tt.nn.Pool("sum"), lambda _, x: x.sum(0)),
    Case("Pool top-k", lambda: tt.nn.Pool("top-k", k=3), _top_k),
    Case("AttentionPool", lambda: tt.nn.AttentionPool(FEATURES, 5), _attended),
    Case("GroupNorm", lambda: _scaled(tt.nn.GroupNorm(3, FEATURES)), None),
    Case("GroupNorm of one", lambda: _scaled(tt.nn.GroupNorm(1, FEATURES)), _group),
    Case("InstanceNorm1d", lambda: _scaled(tt.nn.InstanceNorm1d(FEATURES, affine=True)), _instance),
    *(
        Case(
            f"ConvBlock norm={norm}",
            lambda norm=norm: tt.nn.ConvBlock(FEATURES, 4, 3, norm=norm, norm_groups=2, **_BLOCK),
            plainly if norm != "instance" else None,  # torch refuses one step
        )
        for norm in ("group", "layer", "instance")
    ),
    Case("ConvStack", lambda: tt.nn.ConvStack(FEATURES, [4, 5], 3, dilations=(1, 3), norm="layer"), plainly),
    Case("TemporalBlock", lambda: tt.nn.TemporalBlock(FEATURES, 4, 3, dilation=2), _temporal),
    Case("TemporalBlock of one width", lambda: tt.nn.TemporalBlock(FEATURES, FEATURES, 2), _temporal),
    Case("ResNetBlock", lambda: tt.nn.ResNetBlock(FEATURES, 4, padding="causal"), plainly),
    Case("ResNetBlock of one width", lambda: tt.nn.ResNetBlock(FEATURES, FEATURES, (5, 3)), plainly),
    Case("GatedBlock tanh", lambda: tt.nn.GatedBlock(FEATURES, 4, 2, dilation=3), _wavenet),
    Case("GatedBlock linear", lambda: tt.nn.GatedBlock(FEATURES, 4, 3, gate="linear"), _wavenet),
    Case("WaveNet layer", wavenet_layer, plainly),
    Case("Stream of a stack", lambda: tt.nn.Stream(causal_stack()), stateful=True),
    Case("Stream of WaveNet", lambda: tt.nn.Stream(wavenet_layer()), stateful=True),
    Case(
        "Stream of a recurrent stack",
        lambda: tt.nn.Stream(nn.Sequential(tt.nn.Conv1d(FEATURES, 4, 3, padding="causal"), tt.nn.GRU(4, 4))),
        stateful=True,
    ),
    Case(
        "Stream with strides",
        lambda: tt.nn.Stream(
            nn.Sequential(
                tt.nn.Conv1d(FEATURES, 4, 3, padding="causal", stride=2),
                tt.nn.Conv1d(4, 4, 2, padding="causal"),
            )
        ),
        stateful=True,
    ),
]
