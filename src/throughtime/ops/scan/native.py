"""The native linear recurrence: tensors in, tensors out, float32 or float64 on the CPU."""

from typing import NamedTuple

from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.scan.gates import Candidate, Gates

_GATES = {
    None: _native.ScanGates.GIVEN,
    "forget": _native.ScanGates.FORGET,
    "update": _native.ScanGates.UPDATE,
    "separate": _native.ScanGates.SEPARATE,
    "normalized": _native.ScanGates.NORMALIZED,
}
_CANDIDATES = {
    "identity": _native.ScanCandidate.IDENTITY,
    "tanh": _native.ScanCandidate.TANH,
    "positive": _native.ScanCandidate.POSITIVE,
}


class Kind(NamedTuple):
    """What a recurrence is but for its values: gates of None take a and b as they are."""

    gates: Gates | None
    candidate: Candidate
    reverse: bool


def forward(
    a: Tensor, b: Tensor | None, h0: Tensor | None, offsets: Tensor, kind: Kind
) -> tuple[Tensor, Tensor]:
    """Return h (T, D), and h after each sequence's last step (B, D); without b, ``a`` has pre-activations."""
    results: tuple[Tensor, Tensor] = called(
        _native.scan_forward,
        (a, b, h0, offsets),
        gates=_GATES[kind.gates],
        candidate=_CANDIDATES[kind.candidate],
        from_end=kind.reverse,
    )
    return results


def backward(
    a: Tensor,
    h0: Tensor | None,
    h: Tensor,
    gradients: tuple[Tensor | None, Tensor | None],
    offsets: Tensor,
    kind: Kind,
    needs: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor]:
    """Return the gradients of a, b (those that are needed) and h0, for those of h and of its last step."""
    results: tuple[Tensor | None, Tensor | None, Tensor] = called(
        _native.scan_backward,
        (a, h0, h, *gradients, offsets),
        gates=_GATES[kind.gates],
        candidate=_CANDIDATES[kind.candidate],
        from_end=kind.reverse,
        a_needed=needs[0],
        b_needed=needs[1],
    )
    return results
