"""Gates of the BiLSTM around the marked operator, and the gradient norms of its states."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.demo.views.around import OFFSETS, means_around
from throughtime.diagnose import GradientFlow, LayerFlow, gradient_flow, watch
from throughtime.models import BiLSTM
from throughtime.nn import DirectionTrace
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged
from throughtime.report import GateCurves, Line, Recurrence

DIRECTIONS = ("reads forwards", "reads backwards")
_FEWEST = 0.1
"""Fraction of windows at least that are long enough for a distance; means of fewer are noise."""
_GATES = ("input", "forget", "output")


def recurrence(model: BiLSTM, windows: Ragged, labels: Tensor, places: Tensor) -> Recurrence:
    """Return the gates around places, and the gradient flow of the summed cross-entropy of these windows."""
    with evaluating(model):
        flow = _flow(model, windows, labels)
        with torch.no_grad():
            trace = model.recurrent.trace(cast("Any", model.embedding)(windows))
    directions = [
        _curves(name, trace[0, direction], flow[direction], places)
        for direction, name in enumerate(DIRECTIONS)
    ]
    gradients = [
        _norms(f"∂L/∂{state}, {name}", flow[direction], state)
        for direction, name in enumerate(DIRECTIONS)
        for state in ("c", "h")
    ]
    return Recurrence(directions, gradients)


def _flow(model: BiLSTM, windows: Ragged, labels: Tensor) -> GradientFlow:
    with watch(model) as recording, torch.enable_grad():
        F.cross_entropy(model(windows), labels, reduction="sum").backward()
    model.zero_grad()
    return gradient_flow(recording)


def _curves(name: str, trace: DirectionTrace, flow: LayerFlow, places: Tensor) -> GateCurves:
    means = [
        Line(gate, OFFSETS, means_around(values.with_values(values.values.mean(1)), places))
        for gate, values in ((gate, trace.gates[gate]) for gate in _GATES)
    ]
    saturation = flow.mean_saturation()
    return GateCurves(
        name, means, {gate: (saturation[gate].closed, saturation[gate].open) for gate in _GATES}
    )


def _norms(name: str, flow: LayerFlow, state: Any) -> Line:
    profile = flow.profile(state)
    steps = int((profile.count >= _FEWEST * profile.count[0]).sum())
    return Line(name, profile.distance[:steps].tolist(), profile.mean[:steps].tolist())
