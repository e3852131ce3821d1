"""`GatedBlock`: a convolution whose output is let through by another, WaveNet's or as gated linear unit."""

from typing import Any, Literal

import torch
from torch import nn

from throughtime.errors import ShapeError
from throughtime.nn.conv.conv1d import Conv1d
from throughtime.nn.description.parts import Series
from throughtime.nn.streaming.stream import Block
from throughtime.ops.sigmoid import sigmoid
from throughtime.ragged import Ragged


class GatedBlock(Block):
    r"""A convolution times the gate that a second one opens.

    "tanh": y = tanh(W ∗ x + b) ⊙ σ(V ∗ x + c) [1]_;  "linear": y = (W ∗ x + b) ⊙ σ(V ∗ x + c) [2]_

    W and V are one convolution of 2 · out_channels, W the first half. WaveNet's residual layer is
    ``Residual(nn.Sequential(GatedBlock(C, C, 2, dilation=d), Conv1d(C, C, 1)))``.

    Parameters
    ----------
    in_channels, out_channels, kernel_size
        Of the convolutions.
    gate : "tanh" or "linear"
        What is let through.
    padding : int, "valid", "same" or "causal"
        See `Conv1d`.
    stride, dilation, groups, bias
        Of the convolutions.
    dropout : float
        Probability of zeroing an element of the output.

    Raises
    ------
    ShapeError
        If the gate is unknown.

    References
    ----------
    .. [1] A. van den Oord et al., "WaveNet: a generative model for raw audio", arXiv:1609.03499 (2016),
       equation 2.
    .. [2] Y. N. Dauphin, A. Fan, M. Auli and D. Grangier, "Language modeling with gated convolutional
       networks", ICML (2017), equation 1.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.GatedBlock(4, 8, 2, dilation=4)
    >>> block(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        gate: Literal["tanh", "linear"] = "tanh",
        padding: int | Literal["valid", "same", "causal"] = "causal",
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if gate not in {"tanh", "linear"}:
            raise ShapeError(f"GatedBlock: gate is 'tanh' or 'linear', got {gate!r}")
        self.conv = Conv1d(
            in_channels,
            2 * out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        self.gate = gate
        self.dropout = nn.Dropout(dropout) if dropout else None

    def describe(self) -> Series:
        """Return convolution, gate and dropout."""
        gate = _tanh_gated if self.gate == "tanh" else _gated
        return Series.of(conv=self.conv, gate=gate, dropout=self.dropout)

    def extra_repr(self) -> str:
        """Name the gate."""
        return f"gate={self.gate!r}"


def _tanh_gated(x: Any) -> Any:
    through, gate = torch.chunk(x, 2, dim=1)
    return torch.tanh(through) * _opened(gate)


def _gated(x: Any) -> Any:
    through, gate = torch.chunk(x, 2, dim=1)
    return through * _opened(gate)


def _opened(gate: Any) -> Any:
    return gate.with_values(sigmoid(gate.values)) if isinstance(gate, Ragged) else sigmoid(gate)
