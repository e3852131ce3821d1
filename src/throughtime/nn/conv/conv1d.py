"""`Conv1d`: cross-correlation in time, each sequence with borders of its own."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.nn.description.geometry import conv_windows, repeats_other_steps
from throughtime.nn.description.kinds import WholeSequence, Windowed
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.torch_layers import BORDER_REPEATS
from throughtime.nn.inputs.output import as_ragged, check_features
from throughtime.nn.inputs.too_short import refuse_too_short
from throughtime.nn.inputs.window_options import PaddingMode, Size, as_number, check_options
from throughtime.ops.conv.layer import conv1d
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged


class Conv1d(nn.Conv1d):
    r"""Cross-correlation in time, what deep learning calls convolution; borders are each sequence's own.

    y[t, o] = bias[o] + Σ_k Σ_c weight[o, c, k] · x[t·stride + k·dilation − left, c]

    On a `Ragged` of (T, in_channels) it gives a Ragged of (T', out_channels): every sequence has the
    length that torch would give it alone, and zeros beyond its own ends; an empty one stays empty. On a
    plain tensor (N, C, L) it is `torch.nn.Conv1d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, groups, bias
        As in `torch.nn.Conv1d`.
    padding : int, "valid", "same" or "causal"
        Zeros at both ends of every sequence; "same" keeps the lengths (stride 1), "causal" puts all
        zeros in front, so that no output sees a later input.
    padding_mode : str
        On a Ragged "zeros", or "replicate": copies of each sequence's own first and last token.

    Raises
    ------
    ShapeError
        If a size, stride, dilation or number of groups is below 1 or the padding below 0, groups do not
        divide the channels, the features do not fit, ``padding_mode`` is another on a Ragged, or a sequence
        with tokens is too short for one window.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> conv = tt.nn.Conv1d(4, 8, kernel_size=3)
    >>> conv(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(3, 4)]))
    Ragged(lengths=[3, 1], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | Literal["valid", "same", "causal"] = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_options("Conv1d", in_channels, out_channels, kernel_size, stride, dilation, groups)
        _check_padding(padding, stride)
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
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )

    @property
    def windows(self) -> Windows:
        """The geometry in time."""
        return conv_windows(self, causal=self.causal)

    def describe(self) -> Windowed | WholeSequence:
        """Return the windows; a border that repeats other steps depends on the whole sequence."""
        windows, mode = self.windows, self.padding_mode
        if repeats_other_steps(windows, mode):
            return WholeSequence(BORDER_REPEATS)
        return Windowed(
            windows,
            self._over_windows,
            self.in_channels,
            causal_padding="'causal'",
            not_on_streams="" if mode == "zeros" else f"on a stream the border is zeros, got {mode!r}",
        )

    def operators(self) -> tuple[Operator, ...]:
        """Return the convolution."""
        return (
            Operator.of(
                "throughtime::conv1d",
                weight=self.weight,
                bias=self.bias,
                windows=self.windows,
                groups=self.groups,
                padding_mode=self.padding_mode,
            ),
        )

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the correlation, of the kind that came in."""
        if not isinstance(input, Tensor):
            return self._on_ragged(input, relu=False)
        if not self.causal:
            return super().forward(input)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        return super().forward(F.pad(input, (self.windows.left, 0), mode))

    def rectified(self, x: Any) -> Ragged:
        """Return relu of the correlation of a Ragged, in one pass."""
        return self._on_ragged(x, relu=True)

    def _on_ragged(self, x: Any, *, relu: bool) -> Ragged:
        x = as_ragged(x, "Conv1d")
        check_features(x, self.in_channels, "Conv1d")
        if self.padding_mode not in {"zeros", "replicate"}:
            raise ShapeError(
                f"Conv1d on a Ragged supports padding_mode 'zeros' and 'replicate', got {self.padding_mode!r}"
            )
        windows = self.windows
        values, layout = conv1d(x.values, x.layout, self.weight, self.bias, windows, self.groups, relu=relu)
        refuse_too_short(
            x.layout,
            layout,
            "Conv1d",
            lambda: (
                f"and a window spans {windows.reach + 1} with {windows.left + windows.right} of borders; "
                "give it longer borders (padding='same' or 'causal'), or leave the sequence out"
            ),
        )
        return Ragged(values, layout.offsets, layout=layout)

    def _over_windows(self, x: Ragged, windows: Windows) -> Ragged:
        values, layout = conv1d(x.values, x.layout, self.weight, self.bias, windows, self.groups)
        return Ragged(values, layout.offsets, layout=layout)

    def extra_repr(self) -> str:
        """Name the padding as it was given."""
        shown: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return shown + (", padding=causal" if self.causal else "")


def _check_padding(padding: Any, stride: Any) -> None:
    if isinstance(padding, str) and padding not in {"valid", "same", "causal"}:
        raise ShapeError(f"Conv1d: padding is a number, 'valid', 'same' or 'causal', got {padding!r}")
    if not isinstance(padding, str) and as_number(padding) < 0:
        raise ShapeError(f"Conv1d: padding is at least 0, got {padding}")
    if padding == "same" and as_number(stride) != 1:
        raise ShapeError(f"Conv1d: padding 'same' keeps lengths and needs stride 1, got stride {stride}")
