"""A recurrent layer whose gradients at every step are recorded, on any device."""

import torch
from torch import Tensor

from throughtime.ops.plain import transformed
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import Results, Weights


def recorded_layer(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool,
    record: StepGradients,
) -> Results:
    """Run one layer as `recurrent_layer` does, with a record for the backward pass to fill.

    Of all loops the native one alone records: for tensors of another device it runs on the CPU, and results
    and record are returned to that device.
    """
    arguments = (x, steps, spec, h0, c0, directions)
    if x.is_cpu or x.is_meta or transformed() or torch.compiler.is_compiling() or not spec.is_native:
        return recurrent_layer(*arguments, save=save, record=record)
    record.device = x.device
    steps = steps._replace(index=_on_cpu(steps.index), reset=_on_cpu(steps.reset))
    weights = tuple(Weights(*map(_on_cpu, direction)) for direction in directions)  # type: ignore[arg-type]
    results = recurrent_layer(
        x.cpu(), steps, spec, _on_cpu(h0), _on_cpu(c0), weights, save=save, record=record
    )
    y, h_n, c_n, c, gates = (part.to(x.device) for part in results)
    return y, h_n, c_n, c, gates


def _on_cpu(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.cpu()
