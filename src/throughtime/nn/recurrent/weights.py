"""Parameters as the loop takes them, looked at before native code reads them."""

import torch

from throughtime.errors import KindError, ShapeError
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.weights import NAMES, Weights, weight_shapes


def checked_weights(
    weights: Weights,
    spec: CellSpec,
    features: int,
    hidden: int,
    projection: int,
    dtype: torch.dtype,
    layer: str,
) -> Weights:
    """Return the weights of one layer and direction in the dtype of the computation.

    A parameter can be exchanged for any tensor (``layer.weight_hh_l0 = …``, `torch.func.functional_call`),
    and native code would read beyond the end of a smaller one.

    Raises
    ------
    ShapeError
        If a parameter does not have the shape that the layer's sizes imply.
    KindError
        If the parameters are not floating-point, of several dtypes or on several devices.
    """
    shapes = weight_shapes(spec.gates, spec.own_blocks, features, hidden, projection=projection)
    for part, field, name in zip(weights, Weights._fields, NAMES, strict=True):
        if part is not None and field != "context" and part.shape != shapes[field]:
            raise ShapeError(
                f"{layer}: the parameter {name} has shape {tuple(part.shape)}, expected {shapes[field]}; "
                "a layer of other sizes needs constructing anew"
            )
    own, device = weights.ih.dtype, weights.ih.device
    if not own.is_floating_point:
        raise KindError(
            f"{layer} computes with real floating-point numbers, its parameters are {own}; convert the layer "
            "with layer.to(torch.float32)"
        )
    for part in weights[1:]:
        if part is not None and (part.dtype != own or part.device != device):
            raise KindError(
                f"{layer}: one parameter is {own} on {device}, another {part.dtype} on {part.device}; "
                "convert the whole layer with layer.to(...)"
            )
    if own == dtype:
        return weights
    return Weights(*(None if part is None else part.to(dtype) for part in weights))  # type: ignore[arg-type]
