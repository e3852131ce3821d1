"""Residual blocks: `Residual` around any body, and those of the temporal network and the series ResNet."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn
from torch.nn import functional as F

from throughtime.nn.conv.conv1d import Conv1d
from throughtime.nn.conv.conv_block import ConvBlock, normalization
from throughtime.nn.description.merges import Added
from throughtime.nn.description.parts import Series, SideBySide
from throughtime.nn.streaming.stream import Block


class Residual(Block):
    r"""The output of a body added to its input: y = activation(body(x) + shortcut(x)).

    Parameters
    ----------
    body : Module
        Any layer, block or `torch.nn.Sequential` that keeps the lengths, or changes them as the shortcut
        does.
    shortcut : Module, optional
        What the input passes on the other way, such as a convolution of one step where the channels change;
        nothing by default.
    activation : callable, optional
        A module or function of the sum.

    Raises
    ------
    ShapeError
        If the two outputs have different lengths or features.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR (2016),
       equations 1 and 2.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.Residual(tt.nn.ConvBlock(4, 4, 3, padding="same"))
    >>> block(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(4,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        body: nn.Module,
        shortcut: nn.Module | None = None,
        *,
        activation: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.activation = activation
        self._added = Added(type(self).__name__)

    def describe(self) -> Series:
        """Return body and shortcut side by side, and the activation of their sum."""
        both = SideBySide((("body", self.body), ("shortcut", self.shortcut)), self._added)
        return Series(
            (("", both),) if self.activation is None else (("", both), ("activation", self.activation))
        )


class TemporalBlock(Residual):
    r"""The residual block of the temporal convolutional network: two causal convolutions of one dilation.

    y = ReLU(F(F(x)) + shortcut(x)),  F = dropout ∘ ReLU ∘ causal convolution with weight normalisation

    The shortcut is a convolution of one step where the channels change.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, dilation
        Of the convolutions.
    dropout : float
        After each of them.
    weight_norm : bool
        Whether length and direction of every kernel are learned apart (Salimans and Kingma 2016).

    References
    ----------
    .. [1] S. Bai, J. Z. Kolter and V. Koltun, "An empirical evaluation of generic convolutional and recurrent
       networks for sequence modeling", arXiv:1803.01271 (2018), figure 1b.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.TemporalBlock(4, 8, 3, dilation=2)
    >>> block(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        dropout: float = 0.2,
        weight_norm: bool = True,
    ) -> None:
        blocks = (
            ConvBlock(
                channels,
                out_channels,
                kernel_size,
                padding="causal",
                dilation=dilation,
                weight_norm=weight_norm,
                dropout=dropout,
            )
            for channels in (in_channels, out_channels)
        )
        shortcut = None if in_channels == out_channels else Conv1d(in_channels, out_channels, 1)
        super().__init__(nn.Sequential(*blocks), shortcut, activation=F.relu)


class ResNetBlock(Residual):
    r"""The residual block of the ResNet for series: three convolutions with batch normalisation.

    y = ReLU(F₃(x) + shortcut(x)),  F₃ = norm ∘ conv ∘ (ReLU ∘ norm ∘ conv)²

    The shortcut is normalised, too, after a convolution of one step where the channels change.

    Parameters
    ----------
    in_channels, out_channels
        Features per token, below and above.
    kernel_sizes : sequence of int
        Of the convolutions; 8, 5, 3 in the paper.
    padding : "same" or "causal"
        Which lengths-keeping border.
    norm : "batch", "group", "layer" or "instance"
        See `ConvBlock`.

    References
    ----------
    .. [1] Z. Wang, W. Yan and T. Oates, "Time series classification from scratch with deep neural networks: a
       strong baseline", IJCNN (2017), equation 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.ResNetBlock(4, 8)
    >>> block(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int] = (8, 5, 3),
        *,
        padding: Literal["same", "causal"] = "same",
        norm: Literal["batch", "group", "layer", "instance"] = "batch",
    ) -> None:
        last = len(kernel_sizes) - 1
        body = nn.Sequential(
            *(
                ConvBlock(
                    out_channels if place else in_channels,
                    out_channels,
                    size,
                    padding=padding,
                    norm=norm,
                    activation=None if place == last else F.relu,
                )
                for place, size in enumerate(kernel_sizes)
            )
        )
        expands = in_channels != out_channels
        aligned = ConvBlock(in_channels, out_channels, 1, norm=norm, activation=None)
        super().__init__(body, aligned if expands else normalization(norm, out_channels), activation=F.relu)
