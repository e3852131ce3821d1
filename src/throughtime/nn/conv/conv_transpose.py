"""`ConvTranspose1d`: every token spread over a window of outputs."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import Spread
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import as_ragged, check_features
from throughtime.nn.inputs.too_short import refuse_too_short
from throughtime.nn.inputs.window_options import Size, as_number, check_options
from throughtime.ops.conv.layer import conv_transpose1d
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged


class ConvTranspose1d(nn.ConvTranspose1d):
    r"""Transposed convolution in time: what `Conv1d` gathers from a window, this spreads over one.

    y[s, o] = bias[o] + Σ weight[c, o, k] · x[t, c]  over all t, k with t·stride + k·dilation − padding = s

    It is the gradient of `Conv1d` with respect to its input [1]_, and makes sequences longer: of L tokens
    (L − 1)·stride − 2·padding + dilation·(kernel_size − 1) + output_padding + 1. On a `Ragged` of
    (T, in_channels) it gives a Ragged of (T', out_channels), every sequence of the length that torch would
    give it alone; an empty one stays empty. On a plain tensor (N, C, L) it is `torch.nn.ConvTranspose1d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation
        As in `torch.nn.ConvTranspose1d`: ``padding`` outputs are cut off at both ends of every sequence,
        ``output_padding`` are added at its end.
    padding_mode : "zeros"
        The one that torch knows here.

    Raises
    ------
    ShapeError
        If a size, stride, dilation or number of groups is below 1, a padding below 0, ``output_padding`` not
        below the larger of stride and dilation, groups do not divide the channels, the features do not fit,
        ``output_size`` is given with a Ragged, or the cut leaves nothing of a sequence with tokens.

    References
    ----------
    .. [1] V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning",
       arXiv:1603.07285 (2016), section 4.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)])
    >>> shorter = tt.nn.Conv1d(4, 8, 3, stride=2, padding=1)(x)
    >>> shorter.lengths.tolist()
    [3, 1]
    >>> tt.nn.ConvTranspose1d(8, 4, 3, stride=2, padding=1)(shorter).lengths.tolist()
    [5, 1]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        dilation: Size = 1,
        padding_mode: Literal["zeros"] = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_options("ConvTranspose1d", in_channels, out_channels, kernel_size, stride, dilation, groups)
        _check_paddings(padding, output_padding, max(as_number(stride), as_number(dilation)))
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            output_padding=output_padding,
            groups=groups,
            bias=bias,
            dilation=dilation,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )

    @property
    def windows(self) -> Windows:
        """The geometry in time, that of the convolution whose gradient this is."""
        size, stride, dilation = self.kernel_size[0], self.stride[0], self.dilation[0]
        cut = as_number(self.padding)
        return Windows(size, stride, dilation, cut, cut)

    def describe(self) -> Spread:
        """Return the windows that each step is spread over."""
        return Spread(self.windows, self.output_padding[0])

    def operators(self) -> tuple[Operator, ...]:
        """Return the transposed convolution."""
        return (
            Operator.of(
                "throughtime::conv_transpose1d",
                weight=self.weight,
                bias=self.bias,
                windows=self.windows,
                groups=self.groups,
                output_padding=self.output_padding[0],
            ),
        )

    def forward(self, input: Any, output_size: list[int] | None = None) -> Any:  # noqa: A002 - torch's names
        """Return the transposed convolution, of the kind that came in; ``output_size`` with tensors alone."""
        if isinstance(input, Tensor):
            return super().forward(input, output_size)
        x = as_ragged(input, "ConvTranspose1d")
        check_features(x, self.in_channels, "ConvTranspose1d")
        if output_size is not None:
            raise ShapeError(
                "ConvTranspose1d: output_size is one length for all sequences of a tensor; a Ragged has "
                "many, which output_padding moves"
            )
        values, layout = conv_transpose1d(
            x.values, x.layout, self.weight, self.bias, self.windows, self.groups, self.output_padding[0]
        )
        refuse_too_short(
            x.layout,
            layout,
            "ConvTranspose1d",
            lambda: f"of which a padding of {self.windows.left} cuts everything off; use a smaller one",
        )
        return Ragged(values, layout.offsets, layout=layout)


def _check_paddings(padding: Any, output_padding: Any, most: int) -> None:
    for name, size in (("padding", padding), ("output_padding", output_padding)):
        if isinstance(size, str) or as_number(size) < 0:
            raise ShapeError(f"ConvTranspose1d: {name} is a number of at least 0, got {size!r}")
    if as_number(output_padding) >= most:
        raise ShapeError(
            f"ConvTranspose1d: output_padding is below the larger of stride and dilation, {most}, "
            f"got {output_padding}"
        )
