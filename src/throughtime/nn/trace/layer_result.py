"""What one layer of a recurrent module leaves behind."""

from typing import NamedTuple

from torch import Tensor

from throughtime.ops.recurrent.weights import Weights


class LayerResult(NamedTuple):
    """What one layer has read and computed; shapes as in `ops.recurrent.layer.recurrent_layer`."""

    x: Tensor
    h0: Tensor | None
    c0: Tensor | None
    directions: tuple[Weights, ...]
    y: Tensor
    c: Tensor
    gates: Tensor
