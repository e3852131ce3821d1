"""What single layers see: windows of steps, one step alone, all steps before, or the whole sequence."""

from typing import Any

from torch import nn
from torch.nn.modules import activation, dropout

from throughtime.errors import ShapeError
from throughtime.nn._bidirectional import Bidirectional
from throughtime.nn._locked_dropout import LockedDropout
from throughtime.nn._norm import ChannelNorm, GroupNorm, InstanceNorm1d
from throughtime.nn._pool import AttentionPool, Pool
from throughtime.nn._pool_windows import windows_of
from throughtime.nn._readout import Readout
from throughtime.nn._recurrence import Recurrence
from throughtime.nn._recurrent import Recurrent
from throughtime.ops.windows import Windows

_TOKENWISE = (
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.Identity,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.BatchNorm1d,
    ChannelNorm,
    LockedDropout,
    Readout,
    *(getattr(activation, name) for name in activation.__all__ if name != "MultiheadAttention"),
    *(getattr(dropout, name) for name in dropout.__all__),
)

_WHOLE: tuple[tuple[type[nn.Module], str], ...] = (
    (Pool, "pools the whole sequence"),
    (AttentionPool, "pools the whole sequence"),
    (GroupNorm, "takes its statistics from the whole sequence"),
    (InstanceNorm1d, "takes its statistics from the whole sequence"),
    (nn.GroupNorm, "takes its statistics from the whole sequence"),
    (nn.InstanceNorm1d, "takes its statistics from the whole sequence"),
    (nn.AdaptiveAvgPool1d, "pools the whole sequence"),
    (nn.AdaptiveMaxPool1d, "pools the whole sequence"),
    (Bidirectional, "reads from the end, too"),
)


def is_tokenwise(layer: Any) -> bool:
    """Tell whether each step's output depends on that step alone (batch normalisation: in evaluation)."""
    if isinstance(layer, nn.Module):
        return isinstance(layer, _TOKENWISE)
    return callable(layer)


def is_recurrent(layer: Any) -> bool:
    """Tell whether this is a layer with a state, which it takes and returns."""
    return isinstance(layer, Recurrent | Recurrence)


def reads_all(layer: Any) -> str | None:
    """Return why each output depends on every step of the sequence, None if it does not."""
    if isinstance(layer, Recurrent) and layer.bidirectional:
        return "reads from the end, too"
    return next((why for kind, why in _WHOLE if isinstance(layer, kind)), None)


def windows_seen(layer: Any) -> Windows | None:
    """Return the windows of a convolution or pooling, ours or torch's; None if it is none."""
    windows = getattr(layer, "windows", None)
    if isinstance(windows, Windows):
        return windows
    if isinstance(layer, nn.Conv1d):
        return _of_torch_conv(layer)
    return windows_of(layer) if isinstance(layer, nn.MaxPool1d | nn.AvgPool1d) else None


def described(layer: Any, path: str) -> str:
    """Return the place and kind of a part, for messages."""
    kind = type(layer).__name__ if isinstance(layer, nn.Module) else getattr(layer, "__name__", repr(layer))
    return f"{path} ({kind})" if path else kind


def unknown(layer: Any, path: str) -> ShapeError:
    """Return the error for a module of which nothing is known."""
    return ShapeError(
        f"{described(layer, path)}: what this module sees of its input is not known; build it of the layers "
        "of throughtime.nn in Sequential, ConvStack, WideConv or Residual"
    )


def _of_torch_conv(conv: nn.Conv1d) -> Windows:
    size, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    reach = dilation * (size - 1)
    if conv.padding == "same":
        return Windows(size, stride, dilation, reach // 2, reach - reach // 2)
    border = 0 if conv.padding == "valid" else int(conv.padding[0])
    return Windows(size, stride, dilation, border, border)
