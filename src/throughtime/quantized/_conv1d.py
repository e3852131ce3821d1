"""`QuantizedConv1d`: cross-correlation in time with int8 weights."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError
from throughtime.nn.description.geometry import conv_windows, repeats_other_steps
from throughtime.nn.description.kinds import WholeSequence, Windowed
from throughtime.nn.description.torch_layers import BORDER_REPEATS
from throughtime.nn.inputs.output import as_ragged, check_features
from throughtime.nn.inputs.too_short import refuse_too_short
from throughtime.ops.quantized import native
from throughtime.ops.quantized.packing import in_panels, packed, rounded, unpacked, vectors_of
from throughtime.ops.window_layouts import windows_laid_out
from throughtime.ops.windows import Geometry, Windows
from throughtime.quantized._inference import checked_tokens, frozen
from throughtime.ragged import Ragged


class QuantizedConv1d(nn.Module):
    r"""Cross-correlation in time with int8 weights: `throughtime.nn.Conv1d` for inference.

    y[t, o] = bias[o] + s[o] · Σ_k a[t_k] · (Σ_c q_W[o, c, k] · q_x[t_k, c])

    with t_k = t·stride + k·dilation − left.

    The weights of each output channel have one scale s, and every token has a scale a of its own, see
    `QuantizedLinear`; so the taps of a window have different ones. Use `throughtime.quantize` to construct
    one.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, bias, padding_mode
        As in `throughtime.nn.Conv1d`; ``padding_mode`` is "zeros" or "replicate".

    Raises
    ------
    ShapeError, InputTypeError
        If the features or the dtype of the input do not fit, or a sequence with tokens is too short for one
        window.
    UnsupportedError
        If the input requires a gradient.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> conv = tt.quantize(tt.nn.Conv1d(4, 8, kernel_size=3))
    >>> conv(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(3, 4)]))
    Ragged(lengths=[3, 1], features=(8,), dtype=float32)
    """

    packed_weight: Tensor
    packed_scale: Tensor
    packed_bias: nn.Parameter

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's order
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.has_bias = in_channels, out_channels, bias
        self.kernel_size, self.stride, self.dilation = (kernel_size,), (stride,), (dilation,)
        self.causal = padding == "causal"
        self.padding: str | tuple[int] = padding if isinstance(padding, str) else (padding,)
        self.groups, self.padding_mode = 1, padding_mode
        self._pack(torch.zeros(out_channels, in_channels, kernel_size), None)

    @classmethod
    def of(cls, conv: nn.Conv1d) -> Self:
        """Return the layer with the weights of a convolution, rounded."""
        padding = "causal" if getattr(conv, "causal", False) else conv.padding
        quantized = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            padding if isinstance(padding, str) else padding[0],
            conv.dilation[0],
            conv.bias is not None,
            conv.padding_mode,
        )
        quantized._pack(conv.weight.detach(), conv.bias)
        return quantized

    def _pack(self, weight: Tensor, bias: Tensor | None) -> None:
        """Pack a weight (O, C, K), rounded with one scale for each output channel."""
        taps = weight.transpose(1, 2)
        values, scale = rounded(taps.flatten(1))
        vectors = vectors_of(self.out_channels)
        bias = torch.zeros_like(scale) if bias is None else bias.detach()
        self.register_buffer("packed_weight", packed(values.view(1, *taps.shape), vectors))
        self.register_buffer("packed_scale", in_panels(scale[None], vectors).flatten())
        self.packed_bias = frozen(in_panels(bias[None], vectors).flatten())

    @property
    def weight(self) -> Tensor:
        """The weight (O, C, K) that the integers stand for, in float32."""
        size = self.kernel_size[0]
        values = unpacked(self.packed_weight, 1, self.out_channels, size, self.in_channels)[0]
        return values.transpose(1, 2) * self.packed_scale[: self.out_channels, None, None]

    @property
    def bias(self) -> Tensor | None:
        """The bias (O,), None if there is none."""
        return self.packed_bias[: self.out_channels] if self.has_bias else None

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

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the correlation, of the kind that came in; a tensor is (N, C, L) or (C, L)."""
        if not isinstance(input, Tensor):
            return self._on_ragged(as_ragged(input, type(self).__name__))
        if input.dim() == 2:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        if input.dim() != 3:
            raise InputTypeError(
                f"{type(self).__name__} takes a Ragged, or a tensor (N, C, L) or (C, L), got shape "
                f"{tuple(input.shape)}"
            )
        count, _, length = input.shape
        tokens = input.transpose(1, 2)
        y = self._on_ragged(Ragged.from_lengths(tokens.reshape(-1, input.shape[1]), [length] * count))
        return y.values.view(count, -1, self.out_channels).transpose(1, 2).contiguous()

    def _on_ragged(self, x: Ragged) -> Ragged:
        check_features(x, self.in_channels, type(self).__name__)
        windows = self.windows
        y = self._over_windows(x, windows)
        refuse_too_short(
            x.layout,
            y.layout,
            type(self).__name__,
            lambda: (
                f"and a window spans {windows.reach + 1} with {windows.left + windows.right} of borders; "
                "give it longer borders (padding='same' or 'causal'), or leave the sequence out"
            ),
        )
        return y

    def _over_windows(self, x: Ragged, windows: Windows) -> Ragged:
        tokens = checked_tokens(x.values, self.packed_scale, type(self).__name__)
        out = x.layout if windows.keeps_lengths else windows_laid_out(x.layout, windows)
        weights = native.PackedMap(self.packed_weight, self.packed_scale, self.packed_bias)
        geometry = Geometry(x.layout.offsets, out.offsets, windows)
        total = len(tokens) if windows.keeps_lengths else out.total
        values = native.correlate(tokens, weights, geometry, self.out_channels, total)
        return Ragged(values, out.offsets, layout=out)

    def extra_repr(self) -> str:
        """Return the arguments that are not defaults."""
        padding = "causal" if self.causal else self.padding
        options = {
            "padding": (padding, (0,)),
            "dilation": (self.dilation, (1,)),
            "bias": (self.has_bias, True),
            "padding_mode": (self.padding_mode, "zeros"),
        }
        shown = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        sizes = [
            str(self.in_channels),
            str(self.out_channels),
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        return ", ".join(sizes + shown)
