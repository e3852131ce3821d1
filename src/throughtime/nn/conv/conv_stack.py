"""`ConvStack`: blocks on top of each other; `dilation_schedule`: how their dilations grow."""

import copy
from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from throughtime.errors import ShapeError
from throughtime.nn.conv.conv_block import ConvBlock
from throughtime.nn.description.parts import Series, named
from throughtime.nn.streaming.stream import Block


def dilation_schedule(depth: int, *, base: int = 2, cycle: int | None = None) -> tuple[int, ...]:
    r"""Return the dilations of layers on top of each other: base^(i mod cycle) for layer i = 0, …, depth − 1.

    With kernels of K ≥ base steps, a stack of n layers sees every step of a window of
    1 + (K − 1)(base^n − 1)/(base − 1) steps: depth grows with the logarithm of the window.

    Parameters
    ----------
    depth : int
        How many layers.
    base : int
        By what the dilation grows from layer to layer; 1 for none.
    cycle : int, optional
        After how many layers it begins again at 1; WaveNet repeats 1, 2, 4, …, 512, a cycle of 10 [2]_.

    Raises
    ------
    ShapeError
        If a number is below 1.

    References
    ----------
    .. [1] F. Yu and V. Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR (2016).
    .. [2] A. van den Oord et al., "WaveNet: a generative model for raw audio", arXiv:1609.03499 (2016),
       section 2.1.

    Examples
    --------
    >>> import throughtime as tt
    >>> tt.nn.dilation_schedule(6, cycle=4)
    (1, 2, 4, 8, 1, 2)
    """
    for name, value in (("depth", depth), ("base", base), ("cycle", 1 if cycle is None else cycle)):
        if value < 1:
            raise ShapeError(f"dilation_schedule: {name} is at least 1, got {value}")
    return tuple(base ** (layer % (cycle or depth)) for layer in range(depth))


class ConvStack(Block):
    r"""Convolution blocks on top of each other, each on the output of the one below.

    Parameters
    ----------
    in_channels : int
        Features per token.
    channels : sequence of int
        Features of each block, from the first to the last.
    kernel_size : int or sequence of int
        Of all blocks, or of each.
    dilations : int or sequence of int
        Of all blocks, or of each, such as `dilation_schedule` gives.
    padding : int, "valid", "same" or "causal"
        Of all blocks, see `Conv1d`.
    **block
        Further options of `ConvBlock`, for all blocks. A module among them is copied for each.

    Raises
    ------
    ShapeError
        If there is no block, or the numbers of channels, kernel sizes and dilations differ.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> stack = tt.nn.ConvStack(4, [8, 8, 16], 3, dilations=(1, 2, 4), padding="causal", norm="layer")
    >>> stack(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(2, 4)]))
    Ragged(lengths=[5, 2], features=(16,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        kernel_size: int | Sequence[int],
        *,
        dilations: int | Sequence[int] = 1,
        padding: int | Literal["valid", "same", "causal"] = "same",
        **block: Any,
    ) -> None:
        super().__init__()
        if not channels:
            raise ShapeError("ConvStack needs the channels of at least one block")
        sizes = _for_each(kernel_size, len(channels), "kernel sizes")
        steps = _for_each(dilations, len(channels), "dilations")
        self.blocks = nn.ModuleList(
            ConvBlock(below, above, size, dilation=dilation, padding=padding, **copies(block))
            for below, above, size, dilation in zip(
                [in_channels, *channels], channels, sizes, steps, strict=False
            )
        )

    def describe(self) -> Series:
        """Return the blocks."""
        return Series(named(self.blocks, "blocks"))


def copies(options: dict[str, Any]) -> dict[str, Any]:
    """Return options whose modules are new copies, so that blocks do not share them."""
    return {
        name: copy.deepcopy(option) if isinstance(option, nn.Module) else option
        for name, option in options.items()
    }


def _for_each(value: int | Sequence[int], count: int, what: str) -> list[int]:
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count:
        raise ShapeError(f"ConvStack: {len(values)} {what} for {count} blocks; give one, or one for each")
    return values
