"""Convolution by its definition, the matrix that a kernel is, and linear recurrences.

Deep-learning libraries, this one too, compute cross-correlations in what they call convolutions; a learned
kernel does not mind being reversed. Here is the other one, and what the two have to do with each other.
"""

import math
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.inputs.output import RecurrentOutput, as_ragged
from throughtime.nn.inputs.resets import pieces_of
from throughtime.ops.conv.layer import conv1d
from throughtime.ops.scan import layer as scan
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged

Mode = Literal["same", "valid", "full", "causal"]
Series = TypeVar("Series", Ragged, Tensor)

__all__ = ["convolution_matrix", "convolve", "cross_correlate", "linear_scan"]


def convolve(f: Series, g: Tensor, mode: Mode = "same") -> Series:
    r"""Return the convolution of f and g in time, the kernel reversed: what the word means in mathematics.

    y[t] = Σ_j g[j] · f[t − j + s],  j = 0, …, K − 1,  f zero beyond its ends

    with s = ⌊(K − 1)/2⌋ for "same", 0 for "full" and "causal", K − 1 for "valid". It is linear in f and in g,
    and a shift of f shifts it; "full" is commutative. Counted from j = 1, "same" reads
    Σ_j g(j) · f(t − j + ⌈K/2⌉).

    Parameters
    ----------
    f : Ragged (T, \*D) or Tensor (\*, L)
        Series; every feature by itself, in a Ragged every sequence by itself. Of a tensor the last dimension
        is time, as torch.nn has it.
    g : Tensor
        (K,), the kernel, of the same dtype.
    mode : "same", "valid", "full" or "causal"
        Where t runs: over f's steps with the kernel's middle there ("same", L outputs) or its first element
        ("causal", L), over all windows that lie in f ("valid", L − K + 1; none if f is shorter), over all
        that touch it ("full", L + K − 1).

    Returns
    -------
    Ragged or Tensor
        Of the kind that came in.

    Raises
    ------
    InputTypeError
        If f or g is no floating-point batch or tensor, or their dtypes differ.
    ShapeError
        If g is not (K,) with K ≥ 1, f has no time, or the mode is unknown.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> f, g = torch.tensor([1.0, 0.0, 0.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    >>> tt.nn.functional.convolve(f, g)
    tensor([2., 3., 2., 4.])
    >>> tt.nn.functional.convolve(tt.Ragged.from_list([f, f[:1]]), g, "full")[1]
    tensor([1., 2., 3.])
    """
    return _correlated(f, g, mode, "convolve", reverse=True)


def cross_correlate(f: Series, g: Tensor, mode: Mode = "same") -> Series:
    r"""Return the cross-correlation of f and g in time, the kernel as it is: what `Conv1d` computes.

    y[t] = Σ_k g[k] · f[t + k − l],  k = 0, …, K − 1,  f zero beyond its ends

    with l = ⌊(K − 1)/2⌋ for "same", K − 1 for "full" and "causal", 0 for "valid". It is the convolution with
    the reversed kernel (for "same" if K is odd; else that stands one step aside).

    Parameters
    ----------
    f, g, mode
        As in `convolve`.

    Returns
    -------
    Ragged or Tensor
        Of the kind that came in.

    Raises
    ------
    InputTypeError, ShapeError
        As in `convolve`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> f, g = torch.tensor([1.0, 0.0, 0.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    >>> tt.nn.functional.cross_correlate(f, g)
    tensor([2., 1., 6., 4.])
    """
    return _correlated(f, g, mode, "cross_correlate", reverse=False)


def convolution_matrix(g: Tensor, length: int, mode: Mode = "same") -> Tensor:
    r"""Return the banded Toeplitz matrix M of a kernel: M f is the convolution of f and g.

    M[t, u] = g[t − u + s], zero where g has no such element, s as in `convolve`

    Parameters
    ----------
    g : Tensor
        (K,), the kernel. Reversed, it gives the matrix of the cross-correlation.
    length : int
        L, steps of f.
    mode : "same", "valid", "full" or "causal"
        As in `convolve`.

    Returns
    -------
    Tensor
        (L', L), L' as `convolve` has it.

    Raises
    ------
    InputTypeError, ShapeError
        As in `convolve`, or if the length is below 1.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tt.nn.functional.convolution_matrix(torch.tensor([1.0, 2.0, 3.0]), 4)
    tensor([[2., 1., 0., 0.],
            [3., 2., 1., 0.],
            [0., 3., 2., 1.],
            [0., 0., 3., 2.]])
    """
    if length < 1:
        raise ShapeError(f"convolution_matrix: length is at least 1, got {length}")
    unit = torch.eye(length, dtype=g.dtype, device=g.device)
    return _correlated(unit, g, mode, "convolution_matrix", reverse=True).t()


def _correlated(f: Series, g: Tensor, mode: Mode, name: str, *, reverse: bool) -> Series:
    _check(f, g, name)
    left, right = _borders(len(g), mode, name, reverse=reverse)
    kernel = g.flip(0) if reverse else g
    if isinstance(f, Ragged):
        return _on_ragged(f, kernel, Windows(len(g), left=left, right=right))
    return _on_tensor(f, kernel, left, right)


def _borders(size: int, mode: Mode, name: str, *, reverse: bool) -> tuple[int, int]:
    """Return how many zeros stand before and after a series."""
    reach = size - 1
    middle = reach - reach // 2 if reverse else reach // 2
    borders = {
        "same": (middle, reach - middle),
        "valid": (0, 0),
        "full": (reach, reach),
        "causal": (reach, 0),
    }
    if mode not in borders:
        raise ShapeError(f"{name}: mode is one of {', '.join(borders)}; got {mode!r}")
    return borders[mode]


def _on_ragged(f: Ragged, kernel: Tensor, windows: Windows) -> Ragged:
    features = math.prod(f.shape[1:])
    weight = kernel.expand(features, 1, -1)
    flat = f.values.reshape(-1, features)
    values, layout = conv1d(flat, f.layout, weight, None, windows, features)
    return Ragged(values.reshape(-1, *f.shape[1:]), layout.offsets, layout=layout)


def _on_tensor(f: Tensor, kernel: Tensor, left: int, right: int) -> Tensor:
    padded = F.pad(f, (left, right))
    if padded.shape[-1] < len(kernel):
        return padded[..., :0]
    return padded.unfold(-1, len(kernel), 1) @ kernel


def _check(f: Any, g: Any, name: str) -> None:
    for what, argument in (("f", f), ("g", g)):
        if not isinstance(argument, Tensor if what == "g" else Ragged | Tensor):
            raise InputTypeError(
                f"{name}: {what} is a tensor{' or Ragged' * (what == 'f')}, got {type(argument)}"
            )
        if not argument.is_floating_point():
            raise InputTypeError(
                f"{name}: {what} has floating-point numbers, got {argument.dtype}; use .float()"
            )
    if f.dtype != g.dtype:
        raise InputTypeError(f"{name}: f and g have one dtype, got {f.dtype} and {g.dtype}")
    if g.dim() != 1 or not len(g):
        raise ShapeError(f"{name}: the kernel g is (K,) with K of at least 1, got {tuple(g.shape)}")
    if isinstance(f, Tensor) and (f.dim() == 0 or f.shape[-1] == 0):
        raise ShapeError(f"{name}: f is (*, L) with L of at least 1, got {tuple(f.shape)}")


def linear_scan(
    a: Ragged, b: Ragged, h0: Tensor | None = None, *, reverse: bool = False, reset: Ragged | None = None
) -> RecurrentOutput:
    r"""Return every state of the linear recurrence h_t = a_t ⊙ h_{t−1} + b_t, and each sequence's last.

    It runs in parallel over time, see `throughtime.nn.MinGRU` for a layer of it: threads share the steps of a
    sequence, at fixed positions, so that results have the same bits alone, in any batch and on any number of
    threads. Its gradient is the same recurrence against time, and can be differentiated any number of times.

    Parameters
    ----------
    a, b : Ragged
        (T, D), factors and addends, of the same lengths.
    h0 : Tensor, optional
        (B, D), the state before each sequence's first step; zeros where it is missing.
    reverse
        Whether each sequence is read from its end: then h_{t+1} takes the place of h_{t−1}.
    reset : Ragged, optional
        (T,) bool, of the same lengths: where it is true, the state before that token is zeros (with
        ``reverse``, that before the token before it), as if the sequence were split there. A flag at a first
        token has h_0 ignored, without ``reverse``.

    Returns
    -------
    output : Ragged
        (T, D), of the dtype of a; half precision is computed in float32.
    state : Tensor
        (B, D): h after the last step in the order of reading, h_0 of an empty sequence.

    Raises
    ------
    InputTypeError
        If a or b is no Ragged, or dtypes or devices differ.
    ShapeError
        If lengths or shapes do not fit.

    References
    ----------
    .. [1] G. E. Blelloch, "Prefix sums and their applications", in: Synthesis of Parallel Algorithms (1990),
       section 1.4; E. Martin and C. Cundy, "Parallelizing linear recurrent neural nets over sequence length",
       ICLR (2018), for its gradient.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.ones(3, 1), torch.ones(2, 1)])
    >>> output, state = tt.nn.functional.linear_scan(0.5 * x, x)
    >>> output[0].flatten().tolist(), state.flatten().tolist()
    ([1.0, 1.5, 1.75], [1.75, 1.5])
    """
    factors, addends = (as_ragged(part, "linear_scan") for part in (a, b))
    if not factors.layout.same_as(addends.layout):
        raise ShapeError(
            f"linear_scan: a and b have the same lengths, got {factors.lengths.tolist()[:8]} and "
            f"{addends.lengths.tolist()[:8]}"
        )
    if reset is None:
        h, last = scan.linear_scan(factors.values, addends.values, factors.layout, h0, reverse=reverse)
        return RecurrentOutput(factors.with_values(h), last)
    pieces = pieces_of(reset, factors, batch_first=False, layer="linear_scan")
    if h0 is not None:
        scan.check_state(h0, factors.values, factors.layout)
        h0 = pieces.begun(h0, None, reverse=reverse)
    h, last = scan.linear_scan(factors.values, addends.values, pieces.of(factors).layout, h0, reverse=reverse)
    return RecurrentOutput(factors.with_values(h), pieces.ended(last, reverse=reverse))
