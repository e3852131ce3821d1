"""Diagonal linear recurrences over ragged batches, in parallel over time.

Eager calls on plain float32 and float64 tensors on the CPU are native. torch.compile, export, tensor
subclasses and dispatch modes meet an operator that torch knows. Other devices and function transforms run the
reference.
"""

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.plain import HALF, as_operator
from throughtime.ops.scan import autograd, registered
from throughtime.ops.scan.gates import BLOCKS, Candidate, Gates, coefficients
from throughtime.ops.scan.native import Kind
from throughtime.ops.scan.reference import linear_scan_reference
from throughtime.ragged import Layout


def linear_scan(
    a: Tensor, b: Tensor, layout: Layout, h0: Tensor | None = None, *, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    r"""Return every state of h_t = a_t ⊙ h_{t−1} + b_t, and each sequence's last one.

    The steps of a sequence are divided into chunks at fixed positions, and what each chunk makes of the state
    before it is computed in parallel. So threads share the steps of a single long sequence, and results have
    the same bits alone, in any batch and on any number of threads. The gradient is the same recurrence
    against time, and can be differentiated any number of times.

    Parameters
    ----------
    a, b : Tensor
        (T, D) factors and addends.
    layout
        Their offsets.
    h0 : Tensor, optional
        (B, D): the state before each sequence's first step; zeros where it is missing.
    reverse
        Whether each sequence is read from its end: then h_{t+1} takes the place of h_{t−1}.

    Returns
    -------
    h : Tensor
        (T, D), of the dtype of ``a``; half precision is computed in float32.
    last : Tensor
        (B, D): h after the last step in the order of reading, h_0 of an empty sequence.

    Raises
    ------
    ShapeError, InputTypeError
        If shapes, dtypes or devices do not fit.

    References
    ----------
    .. [1] G. E. Blelloch, "Prefix sums and their applications", in: Synthesis of Parallel Algorithms (1990),
       section 1.4; E. Martin and C. Cundy, "Parallelizing linear recurrent neural nets over sequence length",
       ICLR (2018), for its gradient.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.ones(3, 1), torch.ones(0, 1), torch.ones(2, 1)])
    >>> h, last = linear_scan(0.5 * x.values, x.values, x.layout)
    >>> h.flatten().tolist(), last.flatten().tolist()
    ([1.0, 1.5, 1.75, 1.0, 1.5], [1.75, 0.0, 1.5])
    """
    _check(a, b, h0, layout)
    if a.dtype in HALF:
        h, last = _scan(a.float(), b.float(), None if h0 is None else h0.float(), layout, reverse)
        return h.to(a.dtype), last.to(a.dtype)
    return _scan(a, b, h0, layout, reverse)


def gated_scan(
    u: Tensor,
    layout: Layout,
    h0: Tensor | None = None,
    *,
    gates: Gates,
    candidate: Candidate = "identity",
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Return the states of a linear recurrence whose coefficients are gates, see `coefficients`.

    Native code computes gates and states in one pass, and keeps nothing but the states for the gradient.

    Parameters
    ----------
    u : Tensor
        (T, blocks · D): the pre-activations of the gates, and last of the candidate.
    layout, h0, reverse
        As in `linear_scan`.
    gates, candidate
        As in `coefficients`.

    Returns
    -------
    h, last : Tensor
        As of `linear_scan`.

    Raises
    ------
    ShapeError, InputTypeError
        If shapes, dtypes or devices do not fit.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> u = tt.Ragged.from_lengths(torch.zeros(5, 4), [3, 2])
    >>> h, last = gated_scan(u.values, u.layout, torch.ones(2, 2), gates="update")
    >>> last.tolist()
    [[0.125, 0.125], [0.25, 0.25]]
    """
    blocks = BLOCKS[gates]
    if u.dim() != 2 or u.shape[1] % blocks:
        raise ShapeError(f"gated_scan takes (T, {blocks} · D) for {gates!r} gates, got {tuple(u.shape)}")
    part = u[:, : u.shape[1] // blocks]
    _check(part, part, h0, layout)
    if u.dtype in HALF:
        h, last = gated_scan(
            u.float(),
            layout,
            None if h0 is None else h0.float(),
            gates=gates,
            candidate=candidate,
            reverse=reverse,
        )
        return h.to(u.dtype), last.to(u.dtype)

    def composition(u: Tensor, h0: Tensor | None) -> tuple[Tensor, Tensor]:
        return _scan(*coefficients(u, gates, candidate), h0, layout, reverse)

    if autograd.takes(u, h0):
        return autograd.gated(u, h0, layout, Kind(gates, candidate, reverse), composition)
    return composition(u, h0)


def _scan(
    a: Tensor,
    b: Tensor,
    h0: Tensor | None,
    layout: Layout,
    reverse: bool,  # noqa: FBT001 - as `Scan` has it
) -> tuple[Tensor, Tensor]:
    if autograd.takes(a, b, h0):
        return autograd.scanned(a, b, h0, layout, _scan, reverse=reverse)
    if as_operator(a, b, h0):
        return registered.linear_scan(a, b, h0, layout, reverse)
    return linear_scan_reference(a, b, h0, layout, reverse=reverse)


def _check(a: Tensor, b: Tensor, h0: Tensor | None, layout: Layout) -> None:
    if a.dim() != 2 or b.shape != a.shape:
        raise ShapeError(
            f"a linear recurrence takes a and b of one shape (T, D), got {tuple(a.shape)} and "
            f"{tuple(b.shape)}"
        )
    if h0 is not None:
        check_state(h0, a, layout)
    if not torch.compiler.is_compiling() and layout.total != a.shape[0]:
        raise ShapeError(f"a linear recurrence over {layout.total} tokens got {a.shape[0]} rows")
    for name, tensor in (("b", b), ("h0", h0)):
        if tensor is not None and (tensor.dtype != a.dtype or tensor.device != a.device):
            raise InputTypeError(
                f"a is {a.dtype} on {a.device}, {name} {tensor.dtype} on {tensor.device}; convert one of "
                "them with .to(...)"
            )


def check_state(h0: Tensor, a: Tensor, layout: Layout) -> None:
    """Refuse an initial state that is not (B, D).

    Raises
    ------
    ShapeError
        If it is not.
    """
    states = (layout.num_sequences, a.shape[1])
    if h0.shape != states:
        raise ShapeError(f"the initial state of this linear recurrence is {states}, got {tuple(h0.shape)}")
