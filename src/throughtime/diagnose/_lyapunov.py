"""`lyapunov_exponents`: growth rates of small changes of the state along given sequences."""

from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime.diagnose._watch import Watch
from throughtime.errors import ShapeError
from throughtime.nn.recurrent.watching import LayerRun


@dataclass(frozen=True, eq=False)
class Lyapunov:
    """Exponents of one layer and direction, from the sequences of one run; see `lyapunov_exponents`.

    Parameters
    ----------
    name : str
        Name of the module.
    layer, direction : int
        Direction 1 reads from the end.
    exponents : Tensor
        (k,) float64, descending, in 1/step: the mean over sequences, weighted by their steps.
    by_sequence : Tensor
        (n, k) of each sequence used.
    steps : Tensor
        (n,) number of steps of each of them.
    """

    name: str
    layer: int
    direction: int
    exponents: Tensor
    by_sequence: Tensor
    steps: Tensor

    @property
    def horizon(self) -> float:
        """Steps after which the slowest direction has shrunk to 1 %, ln 0.01 / λ₁; infinite if λ₁ >= 0."""
        first = float(self.exponents[0])
        return float("inf") if first >= 0 else -4.605170185988092 / first


def lyapunov_exponents(recording: Watch, *, count: int = 8, sequences: int = 4) -> tuple[Lyapunov, ...]:
    r"""Return the leading Lyapunov exponents of every recurrent layer along the recorded sequences.

    With s_t the state of a layer (h, and c of an LSTM) and J_t = ∂s_t/∂s_{t−1} the Jacobian of a step at the
    recorded state and token, the product J_T … J_1 propagates a small change of the state, and its transpose
    propagates a gradient. Its growth rates are λ_i = lim 1/T Σ_t ln (R_t)_ii with
    Q_{t−1} R_t = J_tᵀ Q_t, from the last step to the first as gradients travel: a QR decomposition at every
    step keeps directions apart. λ₁ < 0: gradients vanish as exp(λ₁ t); λ₁ > 0: they explode; near 0 long
    dependencies can be learned.

    Parameters
    ----------
    recording : Watch
        From `watch`, after a backward pass inside the block.
    count
        k, number of exponents; at most the size of the state.
    sequences
        Number of sequences, the longest first. Takes one step of the reference, on k rows, per token.

    Returns
    -------
    tuple of Lyapunov
        One for every layer and direction of every run.

    Raises
    ------
    ShapeError
        If there is no sequence of two steps, or ``count`` is below 1.

    References
    ----------
    .. [1] G. Benettin et al., "Lyapunov characteristic exponents for smooth dynamical systems", Meccanica 15
       (1980).
    .. [2] R. Engelken, F. Wolf and L. Abbott, "Lyapunov spectra of chaotic recurrent neural networks",
       Physical Review Research 5 (2023).

    Examples
    --------
    A rotation that shrinks by a tenth at every step:

    >>> import math, torch, throughtime as tt
    >>> layer = tt.nn.RNN(1, 2, nonlinearity="affine", bias=False).double()
    >>> turn = torch.tensor([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    >>> with torch.no_grad():
    ...     _ = layer.weight_hh_l0.copy_(0.9 * turn)
    >>> with tt.diagnose.watch(layer) as recording:
    ...     layer(torch.randn(50, 1).double()).output.sum().backward()
    >>> [round(float(e), 4) for e in tt.diagnose.lyapunov_exponents(recording)[0].exponents]
    [-0.1054, -0.1054]
    """
    if count < 1 or sequences < 1:
        raise ShapeError(f"count and sequences must be at least 1, got {count} and {sequences}")
    return tuple(_of_run(run, count, sequences) for run in recording.directions())


def _of_run(run: LayerRun, count: int, sequences: int) -> Lyapunov:
    lengths = run.read.layout.lengths
    chosen = [int(b) for b in lengths.argsort(descending=True)[:sequences] if lengths[b] >= 2]
    if not chosen:
        raise ShapeError(f"{run.name}: no sequence has two steps, so there are no exponents")
    with torch.no_grad():
        rates = torch.stack([_of_sequence(run, b, count) for b in chosen])
    steps = lengths[chosen]
    mean = (rates * steps[:, None]).sum(0) / steps.sum()
    order = mean.argsort(descending=True)
    return Lyapunov(run.name, run.layer, run.direction, mean[order], rates[:, order], steps)


def _of_sequence(run: LayerRun, b: int, count: int) -> Tensor:
    """Return (k,) growth rates per step along one sequence, in float64."""
    size, pulled_back = run.jacobians(b)
    k, length = min(count, size), int(run.read.layout.lengths[b])
    q = torch.linalg.qr(torch.randn(size, k, dtype=torch.float64, generator=_seeded()))[0]
    total = torch.zeros(k, dtype=torch.float64)
    for t in reversed(range(length)):
        q, r = torch.linalg.qr(pulled_back(t, q.t()).t())
        total += r.diagonal().abs().clamp_min(torch.finfo(torch.float64).tiny).log()
    return total / length


def _seeded() -> torch.Generator:
    """Return a generator of the initial directions, the same on each call."""
    return torch.Generator().manual_seed(0)
