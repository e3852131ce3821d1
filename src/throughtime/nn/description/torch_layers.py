"""What torch's own modules and functions, which cannot carry our methods, state about themselves.

The one table of classes that this package has; everything else describes itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import activation, dropout

from throughtime.nn.description.geometry import conv_windows, pool_windows, repeats_other_steps
from throughtime.nn.description.kinds import Layer, Spread, Tokenwise, WholeSequence, Windowed
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.parts import Composition, Series
from throughtime.ops.windows import Windows

BORDER_REPEATS = "has other steps of the sequence in its border"
POOLS = "pools the whole sequence"
SEQUENCE_STATISTICS = "takes its statistics from the whole sequence"


def _tokenwise(_module: nn.Module) -> Tokenwise:
    return Tokenwise()


def _along_features(module: Any) -> Tokenwise | WholeSequence:
    """Describe what works along one dimension: of (T, C) and (N, C, L) 1 has features, of (T, C) the last."""
    if module.dim in {1, -1}:
        return Tokenwise()
    return WholeSequence(f"works along dim={module.dim}, in which there may be steps")


def _batch_norm(norm: Any) -> Tokenwise:
    return Tokenwise(batch_statistics=norm.training or norm.running_mean is None)


def _sequential(module: nn.Module) -> Series:
    # Not named_children, which leaves out a module that comes a second time.
    return Series(tuple(module._modules.items()))  # noqa: SLF001


def _conv(conv: nn.Conv1d) -> Windowed | WholeSequence:
    windows = conv_windows(conv)
    if repeats_other_steps(windows, conv.padding_mode):
        return WholeSequence(BORDER_REPEATS)
    return Windowed(windows, causal_padding="0")


def _conv_transpose(conv: nn.ConvTranspose1d) -> Spread:
    cut = int(conv.padding[0])
    return Spread(
        Windows(conv.kernel_size[0], conv.stride[0], conv.dilation[0], cut, cut), conv.output_padding[0]
    )


def _pool(pool: nn.MaxPool1d | nn.AvgPool1d) -> Windowed:
    return Windowed(pool_windows(pool), ceil_mode=pool.ceil_mode)


def _sequence_statistics(_module: nn.Module) -> WholeSequence:
    return WholeSequence(SEQUENCE_STATISTICS)


def _pools(_module: nn.Module) -> WholeSequence:
    return WholeSequence(POOLS, pools=True)


def _flatten(_module: nn.Module) -> WholeSequence:
    return WholeSequence("puts all steps into one vector", pools=True)


_ALONG = (nn.Softmax, nn.Softmin, nn.LogSoftmax, nn.GLU)

DESCRIPTIONS: dict[type[nn.Module], Callable[[Any], Layer | Composition]] = {
    **{getattr(activation, name): _tokenwise for name in activation.__all__ if name != "MultiheadAttention"},
    **{getattr(dropout, name): _tokenwise for name in dropout.__all__},
    **dict.fromkeys(_ALONG, _along_features),
    nn.Linear: _tokenwise,
    nn.Embedding: _tokenwise,
    nn.Identity: _tokenwise,
    nn.LayerNorm: _tokenwise,
    nn.RMSNorm: _tokenwise,
    nn.BatchNorm1d: _batch_norm,
    nn.GroupNorm: _sequence_statistics,
    nn.InstanceNorm1d: _sequence_statistics,
    nn.Conv1d: _conv,
    nn.ConvTranspose1d: _conv_transpose,
    nn.MaxPool1d: _pool,
    nn.AvgPool1d: _pool,
    nn.AdaptiveAvgPool1d: _pools,
    nn.AdaptiveMaxPool1d: _pools,
    nn.Flatten: _flatten,
    nn.Sequential: _sequential,
}


def linear_operators(layer: Any) -> tuple[Operator, ...]:
    """Return the matrix product of a linear layer."""
    return (Operator.of("aten::linear", weight=layer.weight, bias=layer.bias),)


def _embedding_operators(layer: nn.Embedding) -> tuple[Operator, ...]:
    return (Operator.of("aten::embedding", weight=layer.weight, max_norm=layer.max_norm),)


def _batch_norm_operators(norm: Any) -> tuple[Operator, ...]:
    return (
        Operator.of(
            "aten::batch_norm",
            weight=norm.weight,
            bias=norm.bias,
            running_mean=norm.running_mean,
            running_var=norm.running_var,
            eps=norm.eps,
        ),
    )


def _flatten_operators(layer: nn.Flatten) -> tuple[Operator, ...]:
    return (Operator.of("aten::flatten", start_dim=layer.start_dim, end_dim=layer.end_dim),)


def _nothing(_part: Any) -> tuple[Operator, ...]:
    return ()


def _elementwise(name: str) -> Callable[[Any], tuple[Operator, ...]]:
    return lambda _part: (Operator.of(name),)


_RELU, _TANH, _SIGMOID = (_elementwise(f"aten::{name}") for name in ("relu", "tanh", "sigmoid"))

# By class of a module, or by function.
OPERATORS: dict[Any, Callable[[Any], Sequence[Operator]]] = {
    nn.Linear: linear_operators,
    nn.Embedding: _embedding_operators,
    nn.BatchNorm1d: _batch_norm_operators,
    nn.Flatten: _flatten_operators,
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.ReLU: _RELU,
    nn.Tanh: _TANH,
    nn.Sigmoid: _SIGMOID,
    F.relu: _RELU,
    torch.relu: _RELU,
    F.tanh: _TANH,
    torch.tanh: _TANH,
    F.sigmoid: _SIGMOID,
    torch.sigmoid: _SIGMOID,
}
