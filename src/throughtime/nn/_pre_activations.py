"""The gates of a recurrent layer before activation: names, and values computed again from its states."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.nn._reading import Reading
from throughtime.ops.cell import CellSpec
from throughtime.ops.steps import Weights


def gate_names(spec: CellSpec) -> tuple[str, ...]:
    """Return the gates that a layer keeps, in torch's order."""
    return {
        "LSTM": ("input", "forget", "candidate", "output"),
        "GRU": ("reset", "update", "candidate"),
        "RNN": (),
    }[spec.kind]


def pre_activation_names(spec: CellSpec) -> tuple[str, ...]:
    """Return what a layer makes before activations; a coupled forget gate has nothing of its own."""
    if spec.kind == "RNN":
        return ("h",)
    return tuple(name for name in gate_names(spec) if not (spec.coupled and name == "forget"))


def pre_activations_of(
    spec: CellSpec,
    x: Tensor,
    start: Sequence[Tensor | None],
    states: Mapping[str, Tensor],
    gates: Mapping[str, Tensor],
    weights: Weights,
    read: Reading,
) -> dict[str, Tensor]:
    """Return the pre-activations of every token, (T, H) each, from what the layer read and made.

    ``start`` holds the initial h and c of the direction, (B, ·) or None.
    """
    names = pre_activation_names(spec)
    previous = read.before(states["h"], start[0])
    with torch.autocast(x.device.type, enabled=False):
        from_x = linear(x, weights.ih, weights.bias_ih)
        if weights.context is not None:
            from_x = from_x + weights.context.index_select(0, read.layout.sequence_ids)
        if spec.kind == "GRU":
            size = 2 * gates["reset"].shape[1]
            rz_bias, n_bias = (
                (None, None) if weights.bias_hh is None else (weights.bias_hh[:size], weights.bias_hh[size:])
            )
            r_and_z = from_x[:, :size] + linear(previous, weights.hh[:size], rz_bias)
            if spec.reset_after:
                n = from_x[:, size:] + gates["reset"] * states["recurrent_candidate"]
            else:
                n = from_x[:, size:] + linear(gates["reset"] * previous, weights.hh[size:], n_bias)
            return dict(zip(names, (*r_and_z.chunk(2, 1), n), strict=True))
        total = from_x + linear(previous, weights.hh, weights.bias_hh)
    found = dict(zip(names, total.chunk(spec.gates, 1), strict=True))
    if weights.peephole is not None:
        c_before = read.before(states["c"], start[1])
        seen = {"input": c_before, "output": states["c"]}
        if not spec.coupled:
            seen["forget"] = c_before
        order = [name for name in ("input", "forget", "output") if name in seen]
        for name, peephole in zip(order, weights.peephole.chunk(spec.peepholes), strict=True):
            found[name] = found[name] + peephole * seen[name]
    return found
