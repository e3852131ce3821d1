"""The native convolution: tensors in, tensors out.

Everything that crosses is on the CPU, and float32 or float64. Native code looks at shapes and offsets itself.
"""

from typing import Any

from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called, native_windows
from throughtime.ops.windows import Geometry


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    total: int,
    *,
    relu: bool = False,
) -> Tensor:
    """Return (T', O), see `correlate_reference`."""
    y: Tensor = called(
        _native.conv_forward,
        (x, weight, bias, geometry.offsets, geometry.out_offsets),
        total=total,
        relu=relu,
        **_options(geometry),
    )
    return y


def input_gradient(
    dy: Tensor,
    weight: Tensor,
    start: Tensor | None,
    geometry: Geometry,
    total: int,
) -> Tensor:
    """Return (T, C): what the gradient of the outputs makes of the inputs, plus ``start`` (C,)."""
    # The kernel folds what falls on a replicated border into the last token, and each part has its start.
    late, start = (start, None) if geometry.windows.replicate else (None, start)
    dx: Tensor = called(
        _native.conv_input_gradient,
        (dy, weight, start, geometry.offsets, geometry.out_offsets),
        total=total,
        **_options(geometry),
    )
    return dx if late is None else dx.add_(late)


def weight_gradient(
    x: Tensor,
    dy: Tensor,
    geometry: Geometry,
    *,
    bias: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the weight (O, C / groups, K) and of the bias (O,), empty unless wanted."""
    dw, db = called(
        _native.conv_weight_gradient,
        (x, dy, geometry.offsets, geometry.out_offsets),
        bias=bias,
        **_options(geometry),
    )
    return dw, dw.new_empty(0) if db is None else db


def _options(geometry: Geometry) -> dict[str, Any]:
    return {"windows": native_windows(geometry.windows), "groups": geometry.groups}
