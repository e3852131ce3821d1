"""`Parallel`: any modules side by side; `WideConv`: blocks of different kernel sizes."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from throughtime.errors import ShapeError
from throughtime.nn.conv.conv_block import ConvBlock
from throughtime.nn.conv.conv_stack import copies
from throughtime.nn.description.merges import concatenated
from throughtime.nn.description.parts import SideBySide, named
from throughtime.nn.streaming.stream import Block


class Parallel(Block):
    r"""Modules side by side on the same input, their outputs concatenated: y[t] = (m_1(x)[t], …, m_n(x)[t]).

    Parameters
    ----------
    *modules : Module
        Layers, blocks or `torch.nn.Sequential` of them, which give the same lengths.

    Raises
    ------
    ShapeError
        If there are none, or their outputs have different lengths.

    References
    ----------
    .. [1] C. Szegedy et al., "Going deeper with convolutions", CVPR (2015), section 4.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> module = tt.nn.Parallel(tt.nn.Conv1d(4, 8, 3, padding="same"), tt.nn.MaxPool1d(3, 1, 1))
    >>> module(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(1, 4)]))
    Ragged(lengths=[5, 1], features=(12,), dtype=float32, requires_grad=True)
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        if not modules:
            raise ShapeError("Parallel needs at least one module")
        self.branches = nn.ModuleList(modules)

    def describe(self) -> SideBySide:
        """Return the modules, whose features stand side by side."""
        return SideBySide(named(self.branches, "branches"), concatenated)


class WideConv(Block):
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
            ConvBlock(in_channels, out_channels, size, padding=padding, **copies(block))
            for size in kernel_sizes
        )

    def describe(self) -> SideBySide:
        """Return the blocks, whose features stand side by side."""
        return SideBySide(named(self.blocks, "blocks"), concatenated)
