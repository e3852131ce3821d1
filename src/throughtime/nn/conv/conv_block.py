"""`ConvBlock` and `ConvBlock2d`: convolution, normalisation, activation, pooling, dropout, in that order."""

import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm as weight_normalized

from throughtime.errors import ShapeError
from throughtime.nn.conv.conv1d import Conv1d
from throughtime.nn.description.kinds import NoSequence
from throughtime.nn.description.parts import Series
from throughtime.nn.inputs.output import unwrapped
from throughtime.nn.norm import (
    ChannelNorm,
    GroupNorm,
    InstanceNorm1d,
    rectified_batch_norm,
    takes_batch_statistics,
)
from throughtime.nn.pool.windows import MaxPool1d
from throughtime.nn.streaming.stream import Block
from throughtime.ragged import Ragged

Norm = Literal["batch", "group", "layer", "instance"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class ConvBlock(Block):
    r"""Convolution → normalisation → activation → pooling → dropout, in that order.

    All but the convolution are optional. Statistics are those of real tokens alone; pooling windows end with
    their sequence.

    Parameters
    ----------
    in_channels, out_channels, kernel_size
        Of the convolution.
    stride, padding, dilation, groups
        Of the convolution, see `Conv1d`. With padding "causal", norm "layer" keeps the block causal;
        "instance" and "group" always look at later steps, and "batch" does in training.
    bias : bool, optional
        Of the convolution; by default there is one unless batch or instance norm follows, which subtract any
        constant.
    weight_norm : bool
        Learn length and direction of every kernel apart (Salimans and Kingma 2016).
    norm : "batch", "group", "layer", "instance" or Module, optional
        "batch": each channel over all tokens of the batch [1]_; "group": blocks of channels over the steps of
        a sequence; "instance": each channel over the steps of a sequence; "layer": all channels of a step.
    norm_groups : int
        Blocks of channels of group norm; with 1, all channels and steps of a sequence share their statistics.
    activation : callable, optional
        A module or function of tokens; None for none.
    pool : int or Module, optional
        Max pooling over windows of this many steps, which do not overlap, or any other pooling.
    dropout : float
        Probability of zeroing an element.
    ceil_mode : bool
        Whether the last window of max pooling may be incomplete. Otherwise a shorter rest is dropped, and a
        sequence shorter than one window refused.

    Raises
    ------
    ShapeError
        If the normalisation is unknown, the groups do not divide the channels, a window is below 1,
        ``ceil_mode`` is given without a number of steps to pool, or a sequence with tokens is too short.

    Warns
    -----
    UserWarning
        If batch normalisation follows causal padding and takes its statistics from the batch, as it does in
        training: then every output depends on all steps of the batch, later ones included.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing
       internal covariate shift", ICML (2015).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.ConvBlock(4, 8, 3, padding="same", norm="batch", pool=2, dropout=0.1)
    >>> block(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[2, 1], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int | Literal["valid", "same", "causal"] = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        weight_norm: bool = False,
        norm: Norm | nn.Module | None = None,
        norm_groups: int = 1,
        activation: Callable[[Any], Any] | None = F.relu,
        pool: int | nn.Module | None = None,
        dropout: float = 0.0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        conv = Conv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=_has_bias(norm) if bias is None else bias,
        )
        self.conv = weight_normalized(conv) if weight_norm else conv
        self.norm = normalization(norm, out_channels, norm_groups)
        self.activation = activation
        self.pool = _pool(pool, MaxPool1d, ceil_mode=ceil_mode)
        self.dropout = nn.Dropout(dropout) if dropout else None

    def describe(self) -> Series:
        """Return convolution, normalisation, activation, pooling and dropout, those that there are."""
        return _series(self)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the output, of the kind that came in: Ragged (T', out_channels) or tensor (N, C, L)."""
        x = unwrapped(input)
        _warn_of_the_future(self)
        if isinstance(x, Ragged) and _is_relu(self.activation):
            rest = Series.of(pool=self.pool, dropout=self.dropout)
            if self.norm is None and isinstance(self.conv, Conv1d) and _is_plain(self.conv, Conv1d):
                return rest(self.conv.rectified(x))
            if isinstance(self.norm, nn.BatchNorm1d) and _is_plain(self.norm, nn.BatchNorm1d):
                return rest(rectified_batch_norm(self.norm, self.conv(x)))
        return super().forward(x)

    def extra_repr(self) -> str:
        """Name the activation if it is no module."""
        return _activation_shown(self.activation)


class ConvBlock2d(nn.Module):
    r"""Convolution → normalisation → activation → pooling → dropout on images, in that order.

    The same as `ConvBlock` on plain tensors (N, C, H, W); images of one batch have one size. Convolution,
    batch and instance norm and pooling are torch's own.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        As in `torch.nn.Conv2d`.
    bias, weight_norm, norm, norm_groups, activation, dropout, ceil_mode
        As in `ConvBlock`; "layer" normalises the channels of each pixel.
    pool : int or Module, optional
        Max pooling over squares of this side, which do not overlap, or any other pooling.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.ConvBlock2d(1, 6, 5, padding=2, norm="batch", pool=2)
    >>> tuple(block(torch.randn(3, 1, 28, 28)).shape)
    (3, 6, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | Literal["valid", "same"] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool | None = None,
        weight_norm: bool = False,
        norm: Norm | nn.Module | None = None,
        norm_groups: int = 1,
        activation: Callable[[Any], Any] | None = F.relu,
        pool: int | nn.Module | None = None,
        dropout: float = 0.0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=_has_bias(norm) if bias is None else bias,
        )
        self.conv = weight_normalized(conv) if weight_norm else conv
        self.norm = normalization(norm, out_channels, norm_groups, nn.BatchNorm2d, nn.InstanceNorm2d)
        self.activation = activation
        self.pool = _pool(pool, nn.MaxPool2d, ceil_mode=ceil_mode)
        self.dropout = nn.Dropout(dropout) if dropout else None

    def describe(self) -> NoSequence:
        """State that images have no steps."""
        return NoSequence("reads images (N, C, H, W), which have no steps; ConvBlock reads sequences")

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the block's output, (N, out_channels, H', W')."""
        return _series(self)(input)

    def extra_repr(self) -> str:
        """Name the activation if it is no module."""
        return _activation_shown(self.activation)


def _warn_of_the_future(block: ConvBlock) -> None:
    # Graphs of torch.compile take no warnings.
    if (
        getattr(block.conv, "causal", False)
        and takes_batch_statistics(block.norm)
        and not torch.compiler.is_compiling()
    ):
        warnings.warn(
            "ConvBlock: padding is 'causal', but batch normalisation takes its statistics from all steps of "
            "the batch during training, so that outputs depend on later inputs; norm='layer' keeps the block "
            "causal",
            stacklevel=_level_of_the_call(),
        )


def _level_of_the_call() -> int:
    """Return the stack level, for a warning of the function above, of the code that called the model.

    Python shows a warning once for each place; torch's and our own modules are the same place for every call.
    """
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - as the warnings module does
    while frame.f_back is not None and _package(frame) in {"torch", "throughtime"}:
        level, frame = level + 1, frame.f_back
    return level


def _package(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _series(block: Any) -> Series:
    return Series.of(
        conv=block.conv, norm=block.norm, activation=block.activation, pool=block.pool, dropout=block.dropout
    )


# ReLU may be one pass with what comes before it where nobody listens in between.


def _is_relu(activation: Any) -> bool:
    if type(activation) is nn.ReLU:
        return not _has_hooks(activation)
    return activation is F.relu or activation is torch.relu


def _is_plain(part: nn.Module, of: type[nn.Module]) -> bool:
    return type(part).forward is of.forward and "forward" not in vars(part) and not _has_hooks(part)


def _has_hooks(part: nn.Module) -> bool:
    return any(getattr(part, name) or getattr(nn.modules.module, f"_global{name}") for name in _HOOKS)


def _has_bias(norm: object) -> bool:
    return norm not in {"batch", "instance"}


def normalization(
    norm: Norm | nn.Module | None,
    channels: int,
    groups: int = 1,
    batch: type[nn.Module] = nn.BatchNorm1d,
    instance: type[nn.Module] = InstanceNorm1d,
) -> nn.Module | None:
    """Return the normalisation of that name, None for None."""
    if norm is None or isinstance(norm, nn.Module):
        return norm
    if norm == "batch":
        return batch(channels)
    if norm == "instance":
        return instance(channels, affine=True)
    if norm == "layer":
        return ChannelNorm(channels)
    if norm != "group":
        raise ShapeError(
            f"ConvBlock: norm is 'batch', 'group', 'layer', 'instance' or a module, got {norm!r}"
        )
    if groups < 1 or channels % groups:
        raise ShapeError(f"ConvBlock: norm_groups divides the {channels} channels, got {groups}")
    return GroupNorm(groups, channels)


def _pool(pool: int | nn.Module | None, maximum: type[nn.Module], *, ceil_mode: bool) -> nn.Module | None:
    if not isinstance(pool, int):
        if ceil_mode:
            raise ShapeError(
                "ConvBlock: ceil_mode is for the max pooling that pool=2 and the like make; with another "
                f"module give it to that, got pool={pool!r}"
            )
        return pool
    if pool < 1:
        raise ShapeError(f"ConvBlock: pool is a window of at least 1 step, a module or None, got {pool}")
    return maximum(pool, ceil_mode=ceil_mode)


def _activation_shown(activation: Any) -> str:
    if isinstance(activation, nn.Module):
        return ""
    return f"activation={getattr(activation, '__name__', activation)}"
