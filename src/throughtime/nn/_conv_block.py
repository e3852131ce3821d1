"""`ConvBlock`: convolution, normalisation, activation, pooling and dropout in that order."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.nn._conv import Conv1d
from throughtime.nn._output import unwrapped
from throughtime.ops.conv import Windows
from throughtime.ops.pool import max_over_windows
from throughtime.ragged import Ragged


class ConvBlock(nn.Module):
    r"""Convolution → BatchNorm → activation → max pooling → dropout, in that order.

    All but the convolution are optional. Batch statistics are those of real tokens alone; pooling windows
    end with their sequence.

    Parameters
    ----------
    in_channels, out_channels, kernel_size
        Of the convolution.
    stride, padding, dilation, groups
        Of the convolution, see `Conv1d`.
    batch_norm : bool
        Normalise each channel over all tokens of the batch (Ioffe and Szegedy 2015).
    activation : callable, optional
        A module or function of tokens; None for none.
    pool : int, optional
        Max pooling over windows of this many steps, which do not overlap; a shorter rest is dropped.
    dropout : float
        Probability of zeroing an element.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> block = tt.nn.ConvBlock(4, 8, 3, padding="same", batch_norm=True, pool=2, dropout=0.1)
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
        batch_norm: bool = False,
        activation: Callable[[Any], Any] | None = F.relu,
        pool: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pool is not None and pool < 1:
            raise ShapeError(f"ConvBlock: pool is a window of at least 1 step or None, got {pool}")
        self.conv = Conv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=not batch_norm,  # BatchNorm subtracts any constant
        )
        self.norm = nn.BatchNorm1d(out_channels) if batch_norm else None
        self.activation = activation
        self.pool = pool
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, x: Any) -> Any:
        """Return the block's output, of the kind that came in: Ragged (T, C) or tensor (N, C, L)."""
        x = unwrapped(x)
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        if self.pool is not None:
            x = _max_pool(x, self.pool)
        return x if self.dropout is None else self.dropout(x)

    def extra_repr(self) -> str:
        """Name the parts that are not modules."""
        activation = getattr(self.activation, "__name__", self.activation)
        shown = [] if isinstance(self.activation, nn.Module) else [f"activation={activation}"]
        return ", ".join(shown + ([f"pool={self.pool}"] if self.pool else []))


def _max_pool(x: Any, size: int) -> Any:
    if isinstance(x, Tensor):
        return F.max_pool1d(x, size)
    values, layout = max_over_windows(x.values, x.layout, Windows(size, stride=size))
    return Ragged(values, layout.offsets, layout=layout)
