"""`Conv1d`, and the blocks made of it: `ConvBlock` in sequence, `WideConv` side by side."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.nn._output import as_ragged, check_features, unwrapped
from throughtime.ops.conv import conv1d
from throughtime.ops.pool import max_over_windows
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged


class Conv1d(nn.Conv1d):
    r"""Cross-correlation in time, what deep learning calls convolution; borders are each sequence's own.

    y[t, o] = bias[o] + Σ_k Σ_c weight[o, c, k] · x[t·stride + k·dilation − left, c]

    On a `Ragged` of (T, in_channels) it gives a Ragged of (T', out_channels): every sequence has the
    length that torch would give it alone, and zeros beyond its own ends. A sequence too short for one
    window becomes empty. On a plain tensor (N, C, L) it is `torch.nn.Conv1d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, groups, bias
        As in `torch.nn.Conv1d`.
    padding : int, "valid", "same" or "causal"
        Zeros at both ends of every sequence; "same" keeps the lengths (stride 1), "causal" puts all
        zeros in front, so that no output sees a later input.

    Raises
    ------
    ShapeError
        If the features do not fit, or ``padding_mode`` is not "zeros" on a Ragged.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> conv = tt.nn.Conv1d(4, 8, kernel_size=3)
    >>> conv(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[3, 0], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Literal["valid", "same", "causal"] = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        **options: Any,
    ) -> None:
        self.causal = padding == "causal"
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=0 if padding == "causal" else padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            **options,
        )

    @property
    def windows(self) -> Windows:
        """The geometry in time."""
        size, stride, dilation = self.kernel_size[0], self.stride[0], self.dilation[0]
        reach = dilation * (size - 1)
        if self.causal:
            left, right = reach, 0
        elif self.padding == "same":
            left, right = reach // 2, reach - reach // 2
        elif self.padding == "valid":
            left = right = 0
        else:
            left = right = int(self.padding[0])
        return Windows(size, stride, dilation, left, right)

    def forward(self, x: Any) -> Any:
        """Return the correlation, of the kind that came in."""
        if isinstance(x, Tensor):
            if self.causal:
                x = F.pad(x, (self.windows.left, 0))
            return super().forward(x)
        x = as_ragged(x, "Conv1d")
        check_features(x, self.in_channels, "Conv1d")
        if self.padding_mode != "zeros":
            raise ShapeError(f"Conv1d on a Ragged knows padding_mode 'zeros', got {self.padding_mode!r}")
        values, layout = conv1d(x.values, x.layout, self.weight, self.bias, self.windows, self.groups)
        return Ragged(values, layout.offsets, layout=layout)

    def extra_repr(self) -> str:
        """Name the padding as it was given."""
        shown: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return shown + (", padding=causal" if self.causal else "")


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


class WideConv(nn.Module):
    r"""Blocks with different kernel sizes side by side on the same input, their outputs concatenated.

    Every block keeps the length of its sequence ("same" or "causal" padding), so that features of one
    step stand together.

    Parameters
    ----------
    in_channels : int
        Features per token.
    out_channels : int
        Features of each block; the output has len(kernel_sizes) times as many.
    kernel_sizes : sequence of int
        One block for each.
    padding : "same" or "causal"
        Which lengths-keeping border.
    **block
        Further options of `ConvBlock` but ``stride`` and ``pool``, which would change the lengths.

    References
    ----------
    .. [1] Y. Kim, "Convolutional neural networks for sentence classification", EMNLP (2014).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> wide = tt.nn.WideConv(4, 8, kernel_sizes=(2, 3, 5))
    >>> wide(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(1, 4)]))
    Ragged(lengths=[5, 1], features=(24,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int],
        *,
        padding: Literal["same", "causal"] = "same",
        **block: Any,
    ) -> None:
        super().__init__()
        if not kernel_sizes:
            raise ShapeError("WideConv needs at least one kernel size")
        if padding not in {"same", "causal"}:
            raise ShapeError(f"WideConv keeps lengths: padding is 'same' or 'causal', got {padding!r}")
        for name in ("stride", "pool"):
            if block.get(name, 1) not in {1, None}:
                raise ShapeError(f"WideConv keeps lengths, so it takes no {name}={block[name]}")
        self.blocks = nn.ModuleList(
            ConvBlock(in_channels, out_channels, size, padding=padding, **block) for size in kernel_sizes
        )

    def forward(self, x: Any) -> Any:
        """Return the concatenated features, of the kind that came in."""
        x = unwrapped(x)
        outputs = [block(x) for block in self.blocks]
        return torch.cat(outputs, dim=1)
