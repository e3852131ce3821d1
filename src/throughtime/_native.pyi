from collections.abc import Sequence
from typing import Any

from torch import Tensor

def check_offsets(address: int, count: int, total: int) -> tuple[int, int, int]:
    """Return (fault, index, longest) of ``count`` int64 offsets at ``address``."""

class RecurrentCell:
    """A cell by the name of its kernel in native/kernels/recurrent/cells.h, with its options."""

    gates: int
    saved: int
    has_c: bool

    def __init__(
        self,
        *,
        kernel: str,
        activations: list[tuple[str, float, float]],
        clip: float,
        cell_clip: float,
        update_new: bool,
        epsilon: float,
        own_rows: list[int],
        gradient_value: float,
        gradient_norm: float,
        bfloat16: bool,
    ) -> None: ...

_LayerWeights = tuple[tuple[Tensor | tuple[Tensor, ...] | None, ...], ...]

class RecurrentStack:
    """A module's layers, run without gradients on the arguments of its caller.

    Each method returns y and the state as the layer would, or None where something is unusual. Those called
    ``…_weights`` return the weights that such a run reads: for each layer the fields of `Weights`, of each
    direction; where a cell has several parameters of its own they are a tuple.
    """

    def __init__(
        self,
        *,
        inputs: int,
        hidden: int,
        state: int,
        layers: int,
        directions: int,
        biased: bool,
        projects: bool,
        names: tuple[tuple[str, ...], ...],
        cell: RecurrentCell,
    ) -> None: ...
    def step(self, parameters: dict[str, Any], threads: int, x: Any, state: Any) -> tuple[Tensor, Any] | None:
        """Run one token of each stream, (B, I) or (I,)."""

    def cell(
        self, parameters: dict[str, Any], threads: int, x: Any, state: Any
    ) -> tuple[Tensor, Tensor | None] | None:
        """Run one layer on one token of each stream; return h and, of an LSTM, c, (B, H) or (H,)."""

    def cell_weights(self, parameters: dict[str, Any], x: Any, state: Any) -> _LayerWeights | None:
        """Return those of `cell`."""

    def dense(
        self, parameters: dict[str, Any], threads: int, x: Any, batch_first: bool, state: Any
    ) -> tuple[Tensor, Any] | None:
        """Run sequences of one length, (L, I), (L, B, I) or (B, L, I)."""

    def ragged(
        self, parameters: dict[str, Any], threads: int, values: Any, offsets: Any, state: Any
    ) -> tuple[Tensor, Any] | None:
        """Run sequences end to end, (T, I), that begin at offsets (B + 1,)."""

    def dense_weights(
        self, parameters: dict[str, Any], x: Any, batch_first: bool, state: Any
    ) -> _LayerWeights | None:
        """Return those of `dense`."""

    def ragged_weights(
        self, parameters: dict[str, Any], values: Any, offsets: Any, state: Any
    ) -> _LayerWeights | None:
        """Return those of `ragged`."""

def recurrent_layer_forward(
    in_order: bool,
    save: bool,
    cell: RecurrentCell,
    steps: tuple[Any, ...],
    threads: int,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None] | None:
    """Return y, h_n, c_n, c and gates of one layer, or None where a tensor is unusual.

    Where all are ``in_order``, one that the kernels cannot read is a TypeError.
    """

def recurrent_layer_backward(
    in_order: bool,
    cell: RecurrentCell,
    steps: tuple[Any, ...],
    threads: int,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
    made: tuple[Tensor | None, ...],
    gradients: tuple[Tensor | None, ...],
    needed: tuple[bool, bool, bool],
    record: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...] | None:
    """Return the gradients of x, h0, c0 and all weights, or None where a tensor is unusual."""

def quantized_recurrent(
    cell: RecurrentCell,
    steps: tuple[Any, ...],
    hidden: int,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
    *,
    threads: int,
    in_order: bool,
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Return y (T, D·H), h_n and c_n (D, B, H) of a recurrent layer with packed int8 weights.

    None, here and below, where a tensor is unusual, as of `window_offsets`.
    """

def quantized_linear(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, *, columns: int, threads: int, in_order: bool
) -> Tensor | None:
    """Return the linear map (…, columns) of (…, D) by packed int8 weights."""

def quantized_correlate(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    columns: int,
    total: int,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return the correlation in time (total, columns) with packed int8 weights."""

def quantized_sets() -> list[str]:
    """Return the sets of instructions for products of bytes that this processor has, best first."""

def quantized_set() -> str:
    """Return the set in use."""

class Windows:
    """Windows in time as native code reads them; see `throughtime.ops.windows.Windows`."""

    def __init__(
        self, *, size: int, stride: int, dilation: int, left: int, right: int, replicate: bool
    ) -> None: ...

def window_offsets(
    offsets: Tensor, *, windows: Windows, ceil_mode: bool, in_order: bool
) -> tuple[Tensor, int] | None:
    """Return the offsets (B + 1,) of the windows of each sequence, and the number of all windows.

    None, here and below, where a tensor is unusual: the caller brings all into order and calls again with
    ``in_order``, after which it is a TypeError. Shapes and offsets that do not fit are a ShapeError.
    """

def first_without_windows(offsets: Tensor, out_offsets: Tensor, *, in_order: bool) -> int | None:
    """Return the first sequence that has tokens but no window, or −1."""

def conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    groups: int,
    total: int,
    relu: bool,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Correlate in time: (total, O)."""

def conv_input_gradient(
    dy: Tensor,
    weight: Tensor,
    start: Tensor | None,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    groups: int,
    total: int,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return the gradient of the input, which is the transposed convolution: (total, C)."""

def conv_weight_gradient(
    x: Tensor,
    dy: Tensor,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    groups: int,
    bias: bool,
    threads: int,
    in_order: bool,
) -> tuple[Tensor, Tensor | None] | None:
    """Return the gradients of weight (O, C / groups, size) and, on request, of bias (O,)."""

def linear_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, threads: int, in_order: bool
) -> Tensor | None:
    """Return x Wᵀ + b of up to four dimensions."""

def linear_input_gradient(dy: Tensor, weight: Tensor, *, threads: int, in_order: bool) -> Tensor | None:
    """Return the gradient of its input."""

def linear_weight_gradient(
    x: Tensor, dy: Tensor, *, bias: bool, threads: int, in_order: bool
) -> tuple[Tensor, Tensor | None] | None:
    """Return the gradients of its weight and, on request, of its bias."""

def dropout(
    x: Tensor, *, seed: int, threshold: int, scale: float, first: int, threads: int, in_order: bool
) -> Tensor | None:
    """Return ``scale`` · x at positions ``first``, … whose word is at least the threshold, else 0.

    See `native/kernels/dropout/dropout.h` for words and positions.
    """

def embedding_forward(table: Tensor, tokens: Tensor, *, threads: int) -> Tensor | None:
    """Return the rows (T, D) of tokens (T,); None, too, where a token is no row."""

def embedding_gradient(
    dy: Tensor, tokens: Tensor, *, rows: int, padding: int, threads: int, in_order: bool
) -> Tensor | None:
    """Return the gradient of the table (rows, D), without that of the token ``padding``."""

def norm_forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    offsets: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    *,
    groups: int,
    eps: float,
    relu: bool,
    fixed: bool,
    momentum: float,
    save: bool,
    threads: int,
    in_order: bool,
) -> Tensor | tuple[Tensor, Tensor, Tensor] | None:
    """Normalise groups of features over segments, without offsets over all tokens.

    ``mean`` and ``variance`` are the statistics if they are ``fixed``, else running ones that are updated.
    Returns y, or with ``save`` y and each segment's mean and 1 / √(σ² + eps). Unless ``in_order`` a row that
    does not fit is unusual, too.
    """

def norm_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    scale: Tensor,
    offsets: Tensor | None,
    *,
    groups: int,
    eps: float,
    relu: bool,
    fixed: bool,
    x_needed: bool,
    weight_needed: bool,
    bias_needed: bool,
    threads: int,
    in_order: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:
    """Return the gradients of x, weight and bias, those that are needed."""

class ScanGates:
    """How a linear recurrence gets its coefficients: see native/kernels/scan/scan.h."""

    GIVEN: ScanGates
    FORGET: ScanGates
    UPDATE: ScanGates
    SEPARATE: ScanGates
    NORMALIZED: ScanGates

class ScanCandidate:
    """The activation of a candidate: the identity, tanh, or x + 1/2 for x >= 0 and σ(x) below."""

    IDENTITY: ScanCandidate
    TANH: ScanCandidate
    POSITIVE: ScanCandidate

def scan_forward(
    a: Tensor,
    b: Tensor | None,
    h0: Tensor | None,
    offsets: Tensor,
    *,
    gates: ScanGates,
    candidate: ScanCandidate,
    from_end: bool,
    threads: int,
    in_order: bool,
) -> tuple[Tensor, Tensor] | None:
    """Return h (T, D) of h[t] = a[t] h[t - 1] + b[t], and h after each sequence's last step (B, D)."""

def scan_backward(
    a: Tensor,
    h0: Tensor | None,
    h: Tensor,
    dh: Tensor | None,
    dlast: Tensor | None,
    offsets: Tensor,
    *,
    gates: ScanGates,
    candidate: ScanCandidate,
    from_end: bool,
    a_needed: bool,
    b_needed: bool,
    threads: int,
    in_order: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor] | None:
    """Return the gradients of a, b and h0; None for a or b where it is not needed, or there are gates."""

def gated_output(u: Tensor, h: Tensor, skip: Tensor | None, *, threads: int, in_order: bool) -> Tensor | None:
    """Return σ(g) ⊙ h, or the highway σ(g) ⊙ h + (1 − σ(g)) ⊙ s, of u = [g] or [g, s], or with skip for s."""

def gated_output_backward(
    u: Tensor, h: Tensor, skip: Tensor | None, dy: Tensor, *, threads: int, in_order: bool
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """Return the gradients of u, h and skip."""

class PoolDivisor:
    """What the sum of a window is divided by: 1, its taps in the sequence, or those and its borders'."""

    ONE: PoolDivisor
    REAL: PoolDivisor
    BORDER: PoolDivisor

def pool_max(
    x: Tensor,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    total: int,
    nothing: float,
    index: bool,
    threads: int,
    in_order: bool,
) -> tuple[Tensor, Tensor | None] | None:
    """Return the largest value of each window, and on request its tap."""

def pool_max_gradient(
    dy: Tensor,
    index: Tensor,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    total: int,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return its gradient."""

def pool_sum(
    x: Tensor,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    total: int,
    divisor: PoolDivisor,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return the sum or mean of each window."""

def pool_sum_gradient(
    dy: Tensor,
    offsets: Tensor,
    out_offsets: Tensor,
    *,
    windows: Windows,
    total: int,
    divisor: PoolDivisor,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return its gradient."""

_Place = tuple[str, int, int]

class Program:
    """One step of a recurrence as instructions; see native/kernels/program/program.h.

    An instruction is (operator, out, operands, width, index, numbers), a place (kind, index, offset). The
    ``index`` of a product is its entry in ``matrices``, of sum, max, sum_strided, repeat and tile the width
    of the operand, else 0. An entry of ``matrices`` is the number of a matrix W passed to `run`, and whether
    products are a W (else a Wᵀ).
    """

    def __init__(
        self,
        instructions: Sequence[tuple[str, _Place, Sequence[_Place], int, int, Sequence[float]]],
        *,
        rows: Sequence[int],
        locals: Sequence[int],  # noqa: A002
        states: Sequence[int],
        outputs: Sequence[int],
        matrices: Sequence[tuple[int, bool]],
        places: Sequence[Sequence[int]] = (),
        constants: Sequence[float] = (),
    ) -> None: ...
    def call(
        self, tensors: tuple[Tensor | None, ...], steps: tuple[Any, ...], from_end: bool, threads: int
    ) -> tuple[Tensor, ...] | None:
        """Return the outputs and the final states, or None where a tensor is unusual.

        ``places`` has the position among the tensors of each argument of `run`, in its order; -1 for None.
        ``constants`` are one more vector.
        """

    def run(
        self,
        tokens: list[Tensor],
        previous: list[Tensor],
        previous_initial: list[Tensor | None],
        sequences: list[Tensor],
        vectors: list[Tensor],
        matrices: list[Tensor],
        states: list[Tensor | None],
        *,
        order: int,
        batch: int,
        length: int,
        index: Tensor | None,
        from_end: bool,
        threads: int,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the final states (B, ·) and the outputs (T, ·) of a batch; see `Steps` for its order."""

def program_operators() -> list[tuple[str, int]]:
    """Return the names of the operators of programs, and how many operands each takes."""

def rocket(
    x: Tensor,
    offsets: Tensor,
    dilations: Tensor,
    biases: Tensor,
    channels: Tensor,
    *,
    all_statistics: bool,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return the features of MiniRocket; see `throughtime.ops.rocket.layer.rocket`."""

def crf_forward(
    x: Tensor,
    offsets: Tensor,
    transitions: Tensor,
    start: Tensor,
    *,
    reverse: bool,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return the scores of the forward algorithm of a CRF."""

def crf_best(
    x: Tensor,
    offsets: Tensor,
    transitions: Tensor,
    start: Tensor,
    end: Tensor,
    *,
    threads: int,
    in_order: bool,
) -> Tensor | None:
    """Return the tags of the highest score."""

def empty(is_double: bool, count: int) -> Tensor:
    """Return so many uninitialised numbers."""

def instruction_set() -> str:
    """Return the name of the instruction set whose kernels are in use."""

def instruction_sets() -> list[str]:
    """Return those that this build has and this processor runs, best first."""

def parallel_backend() -> str:
    """Return where threads come from: openmp (torch's own pool) or std::thread."""

def fma_limit(threads: int, milliseconds: int) -> float:
    """Return the GFLOP/s of float32 multiply-adds on registers alone."""
