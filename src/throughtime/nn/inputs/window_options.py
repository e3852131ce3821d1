"""Options that convolutions share, checked before torch sees them."""

from typing import Any, Literal

from throughtime.errors import ShapeError

Size = int | tuple[int]
"""A number of steps, or a tuple of one such number, as torch types it; a list does as well."""

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def check_options(
    layer: str,
    in_channels: int,
    out_channels: int,
    kernel_size: Any,
    stride: Any,
    dilation: Any,
    groups: int,
) -> None:
    """Refuse sizes below 1, and groups that do not divide the channels."""
    named = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel_size": kernel_size,
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
    }
    for name, size in named.items():
        if as_number(size) < 1:
            raise ShapeError(f"{layer}: {name} is at least 1, got {size}")
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ShapeError(
                f"{layer}: groups divide the channels, got groups={groups} and {name}={channels}"
            )


def as_number(size: Any) -> int:
    """Return what torch takes as a number, or as a sequence of one."""
    return int(size[0] if isinstance(size, tuple | list) else size)
