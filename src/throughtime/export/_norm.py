"""Batch normalization by running statistics."""

from dataclasses import replace

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, features_of
from throughtime.export._place import Place
from throughtime.nn.description import Operator

_TENSORS = ("weight", "bias", "running_mean", "running_var")


def add_batch_norm(batch: Batch, operator: Operator, value: Value, place: Place) -> Value:
    """Add aten::batch_norm in evaluation.

    Raises
    ------
    ShapeError
        If it has no running statistics or no learned scale, or reads other features.
    """
    tensors = {name: operator.arguments[name] for name in _TENSORS}
    known = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    if known.keys() != tensors.keys():
        raise ShapeError(
            f"{place.name}: batch normalization is exported with running statistics and a learned scale; "
            f"this one has {', '.join(known) or 'neither'}"
        )
    features_of(value, place.name, len(known["running_mean"]))
    constants = [batch.graph.constant(tensor, place.weight(name)) for name, tensor in known.items()]
    channels_first = batch.channels_first(value) if isinstance(value, Steps) else value.name
    result = batch.graph.add(
        "BatchNormalization", channels_first, *constants, epsilon=operator.arguments["eps"]
    )
    if isinstance(value, Steps):
        return batch.steps_last(result, value.features)
    return replace(value, name=result)
