"""`MaxPool1d` and `AvgPool1d`: windows in time, on ragged batches and on plain tensors."""

from typing import Any

from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn import functional

from throughtime.errors import ShapeError
from throughtime.nn.description.geometry import pool_windows
from throughtime.nn.description.kinds import Windowed
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import as_ragged, check_real, unwrapped
from throughtime.nn.inputs.too_short import refuse_too_short
from throughtime.nn.inputs.window_options import Size
from throughtime.ops.pool.layer import max_over_windows, mean_over_windows
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout, Ragged


class MaxPool1d(nn.MaxPool1d):
    r"""The largest value of each feature over windows in time, which end with their sequence.

    y[t, c] = max_k x[t·stride + k·dilation − padding, c], steps beyond the sequence left out

    On a `Ragged` of (T, C) every sequence has the length that torch would give it alone; an empty one stays
    empty. On a plain tensor (N, C, L) it is `torch.nn.MaxPool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As in `torch.nn.MaxPool1d`; ``return_indices`` on plain tensors alone.

    Raises
    ------
    ShapeError
        If a size, stride or dilation is below 1, the padding is more than half of the window, or a sequence
        with tokens is too short for one window.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.tensor([[1.], [5.], [2.], [4.], [9.]]), torch.tensor([[7.], [3.]])])
    >>> [row.flatten().tolist() for row in tt.nn.MaxPool1d(2)(x)]
    [[5.0, 4.0], [7.0]]
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,  # noqa: FBT001, FBT002 - torch's signature
        ceil_mode: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
        _check_windows(self)

    @property
    def windows(self) -> Windows:
        """The geometry in time."""
        return pool_windows(self)

    def describe(self) -> Windowed:
        """Return the windows."""
        return Windowed(self.windows, _max_over_windows, ceil_mode=self.ceil_mode)

    def operators(self) -> tuple[Operator, ...]:
        """Return the maximum over windows."""
        options = {"windows": self.windows, "ceil_mode": self.ceil_mode}
        return (Operator("throughtime::max_over_windows", options),)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the maxima, of the kind that came in: Ragged (T', C) or tensor (N, C, L')."""
        x = unwrapped(input)
        if isinstance(x, Tensor):
            return super().forward(x) if not is_compiling() or self.return_indices else self._recorded(x)
        x = as_ragged(x, "MaxPool1d")
        check_real(x, "MaxPool1d")
        if self.return_indices:
            raise ShapeError("MaxPool1d: return_indices is for plain tensors; on a Ragged leave it out")
        values, layout = max_over_windows(x.values, x.layout, self.windows, ceil_mode=self.ceil_mode)
        _refuse_too_short(x, layout, "MaxPool1d", self)
        return Ragged(values, layout.offsets, layout=layout)

    def _recorded(self, x: Tensor) -> Tensor:
        """Return the maxima of a plain tensor; max_pool1d would fix its length in the graph."""
        size, stride, dilation, padding, *_ = self.windows
        return functional.max_pool2d(
            x.unsqueeze(-2),
            (1, size),
            (1, stride),
            padding=(0, padding),
            dilation=(1, dilation),
            ceil_mode=self.ceil_mode,
        ).squeeze(-2)


class AvgPool1d(nn.AvgPool1d):
    r"""The mean of each feature over windows in time, which end with their sequence.

    y[t, c] = (1/n) Σ_k x[t·stride + k − padding, c], x zero beyond the sequence

    n is the window's size, or with ``count_include_pad=False`` the number of its steps that are real. On a
    `Ragged` of (T, C) every sequence has the length that torch would give it alone; an empty one stays
    empty. On a plain tensor (N, C, L) it is `torch.nn.AvgPool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `torch.nn.AvgPool1d`.

    Raises
    ------
    ShapeError
        If a size or stride is below 1, the padding is more than half of the window, or a sequence with
        tokens is too short for one window.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.tensor([[1.], [5.], [2.], [4.], [9.]]), torch.tensor([[7.], [3.]])])
    >>> [row.flatten().tolist() for row in tt.nn.AvgPool1d(2)(x)]
    [[3.0, 3.0], [5.0]]
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,  # noqa: FBT001, FBT002 - torch's signature
        count_include_pad: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)  # type: ignore[arg-type]
        _check_windows(self)

    @property
    def windows(self) -> Windows:
        """The geometry in time."""
        return pool_windows(self)

    def describe(self) -> Windowed:
        """Return the windows."""
        return Windowed(self.windows, _mean_over_windows, ceil_mode=self.ceil_mode)

    def operators(self) -> tuple[Operator, ...]:
        """Return the mean over windows."""
        options = {"ceil_mode": self.ceil_mode, "count_padding": self.count_include_pad}
        return (Operator("throughtime::mean_over_windows", {"windows": self.windows, **options}),)

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the means, of the kind that came in: Ragged (T', C) or tensor (N, C, L')."""
        x = unwrapped(input)
        if isinstance(x, Tensor):
            return super().forward(x)
        x = as_ragged(x, "AvgPool1d")
        values, layout = mean_over_windows(
            x.values,
            x.layout,
            self.windows,
            ceil_mode=self.ceil_mode,
            count_padding=self.count_include_pad,
        )
        _refuse_too_short(x, layout, "AvgPool1d", self)
        return Ragged(values, layout.offsets, layout=layout)


def _max_over_windows(x: Ragged, windows: Windows) -> Ragged:
    values, layout = max_over_windows(x.values, x.layout, windows)
    return Ragged(values, layout.offsets, layout=layout)


def _mean_over_windows(x: Ragged, windows: Windows) -> Ragged:
    values, layout = mean_over_windows(x.values, x.layout, windows)
    return Ragged(values, layout.offsets, layout=layout)


def _refuse_too_short(x: Ragged, out: Layout, layer: str, pool: MaxPool1d | AvgPool1d) -> None:
    def why() -> str:
        windows = pool.windows
        kept = (
            ""
            if pool.ceil_mode
            else "ceil_mode=True (ConvBlock(pool=…, ceil_mode=True)), which keeps incomplete windows, "
        )
        return (
            f"and a window spans {windows.reach + 1} with {windows.left + windows.right} of borders; use a "
            f"smaller window, padding, {kept}or leave the sequence out"
        )

    refuse_too_short(x.layout, out, layer, why)


def _check_windows(pool: MaxPool1d | AvgPool1d) -> None:
    name, windows = type(pool).__name__, pool_windows(pool)
    for part, value in (
        ("kernel_size", windows.size),
        ("stride", windows.stride),
        ("dilation", windows.dilation),
    ):
        if value < 1:
            raise ShapeError(f"{name}: {part} is at least 1, got {value}")
    if not 0 <= windows.left <= windows.size // 2:
        raise ShapeError(
            f"{name}: padding is at least 0 and at most half of kernel_size {windows.size}, "
            f"got {windows.left}"
        )
