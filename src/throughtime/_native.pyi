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
        gradient_value: float,
        gradient_norm: float,
    ) -> None: ...

class RecurrentStack:
    """A module's layers, run without gradients on the arguments of its caller.

    Each method returns y and the state as the layer would, or None where something is unusual.
    """

    def __init__(
        self,
        *,
        inputs: int,
        hidden: int,
        state: int,
        layers: int,
        directions: int,
        peepholes: int,
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

    def fits_cell(self, parameters: dict[str, Any], x: Any, state: Any) -> bool:
        """Tell whether `cell` would run."""

    def dense(
        self, parameters: dict[str, Any], threads: int, x: Any, batch_first: bool, state: Any
    ) -> tuple[Tensor, Any] | None:
        """Run sequences of one length, (L, I), (L, B, I) or (B, L, I)."""

    def ragged(
        self, parameters: dict[str, Any], threads: int, values: Any, offsets: Any, state: Any
    ) -> tuple[Tensor, Any] | None:
        """Run sequences end to end, (T, I), that begin at offsets (B + 1,)."""

    def fits_dense(self, parameters: dict[str, Any], x: Any, batch_first: bool, state: Any) -> bool:
        """Tell whether `dense` would run."""

    def fits_ragged(self, parameters: dict[str, Any], values: Any, offsets: Any, state: Any) -> bool:
        """Tell whether `ragged` would run."""

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

def conv_forward(
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    threads: int,
    x: int,
    weight: int,
    bias: int,
    relu: bool,
    y: int,
) -> None:
    """Correlate in time; tuples hold the fields of ``conv.h`` in its order."""

def conv_input_gradient(
    shape: tuple[int, ...], batch: tuple[int, ...], threads: int, dy: int, weight: int, start: int, dx: int
) -> None:
    """Make the gradient of the input, which is the transposed convolution."""

def conv_weight_gradient(
    shape: tuple[int, ...], batch: tuple[int, ...], threads: int, x: int, dy: int, dw: int, db: int
) -> None:
    """Make the gradients of weight and bias."""

def norm_forward(
    shape: tuple[float, ...],
    segments: tuple[int, ...],
    threads: int,
    running: tuple[float, ...],
    fixed_mean: int,
    fixed_variance: int,
    x: int,
    gamma: int,
    beta: int,
    y: int,
    mean: int,
    scale: int,
) -> None:
    """Normalise groups of features over segments; tuples hold the fields of ``norm.h`` in its order."""

def norm_backward(
    shape: tuple[float, ...],
    segments: tuple[int, ...],
    threads: int,
    fixed: bool,
    x: int,
    dy: int,
    gamma: int,
    beta: int,
    mean: int,
    scale: int,
    dx: int,
    dgamma: int,
    dbeta: int,
) -> None:
    """Make its gradients."""

def pool_windows(
    shape: tuple[int, ...], right: int, ceil_mode: bool, sequences: int, offsets: int, out_offsets: int
) -> int:
    """Write the offsets of the windows, and return how many; tuples hold the fields of ``pool.h``."""

def pool_max(
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    threads: int,
    nothing: float,
    index_bytes: int,
    x: int,
    y: int,
    index: int,
) -> None:
    """Take the largest value of each window."""

def pool_max_gradient(
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    threads: int,
    index_bytes: int,
    dy: int,
    index: int,
    dx: int,
) -> None:
    """Make its gradient."""

def pool_sum(
    shape: tuple[int, ...], batch: tuple[int, ...], threads: int, divisor: int, right: int, x: int, y: int
) -> None:
    """Sum each window, and divide."""

def pool_sum_gradient(
    shape: tuple[int, ...], batch: tuple[int, ...], threads: int, divisor: int, right: int, dy: int, dx: int
) -> None:
    """Make its gradient."""

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
