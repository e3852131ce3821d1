"""`spectrum`: eigenvalues and singular values of recurrent weights, and of the Jacobian of a step."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from throughtime.diagnose._watch import Watch, layers_of, module_of
from throughtime.errors import ShapeError, UnsupportedError
from throughtime.nn.recurrent.watching import LayerRun

JACOBIAN = "Jacobian"
"""The block of a `Spectrum` that is not one of recurrent weights."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""Eigenvalues and singular values of one square block of W_hh, or of a Jacobian, all in float64.

    Parameters
    ----------
    name : str
        Name of the module.
    layer, direction : int
        Direction 1 reads from the end.
    block : str
        Gate whose rows these are; "h" for an RNN; "Jacobian" for that of a step.
    matrix : Tensor
        (H, H) the block, or (S, S) the Jacobian ∂s_t/∂s_{t−1} of a state of S numbers.
    eigenvalues : Tensor
        (H,) complex, in descending order of absolute value.
    singular_values : Tensor
        (H,) descending.
    """

    name: str
    layer: int
    direction: int
    block: str
    matrix: Tensor
    eigenvalues: Tensor
    singular_values: Tensor

    @property
    def spectral_radius(self) -> float:
        """The largest absolute eigenvalue, ρ: for large N, ‖Wᴺ‖ goes as ρᴺ."""
        return float(self.eigenvalues.abs().max())

    @property
    def norm(self) -> float:
        """The largest singular value: the largest factor by which a single step can scale a gradient."""
        return float(self.singular_values[0])

    @property
    def condition_number(self) -> float:
        """The largest singular value over the smallest."""
        return float(self.singular_values[0] / self.singular_values[-1])

    @property
    def eigenvalue_ratio(self) -> float:
        """The largest absolute eigenvalue over the smallest: the lecture's condition number."""
        sizes = self.eigenvalues.abs()
        return float(sizes.max() / sizes.min())

    def prediction(self, gradient: Tensor, steps: int) -> Tensor:
        r"""Return ‖(Wᵀ)ⁿ g‖ for n = 0 … steps: the gradient norm of a linear recurrence.

        Parameters
        ----------
        gradient : Tensor
            (H,) or (n, H), such as ∂L/∂h at the last step; for several, norms are averaged.
        steps
            Number of steps back.

        Returns
        -------
        Tensor
            (steps + 1,) float64.
        """
        if gradient.shape[-1] != len(self.matrix) or gradient.dim() > 2:
            raise ShapeError(
                f"gradient must be (H,) or (n, H) with H = {len(self.matrix)}, got {tuple(gradient.shape)}"
            )
        g = gradient.detach().to("cpu", torch.float64).reshape(-1, len(self.matrix))
        norms = []
        for _ in range(steps + 1):
            norms.append(torch.linalg.vector_norm(g, dim=1).mean())
            g = g @ self.matrix
        return torch.stack(norms)

    def __repr__(self) -> str:
        return (
            f"Spectrum({self.name}, layer {self.layer}, direction {self.direction}, {self.block}: "
            f"radius {self.spectral_radius:.4g}, norm {self.norm:.4g}, condition {self.condition_number:.3g})"
        )


def spectrum(model: nn.Module | Watch, *, step: int = -1) -> tuple[Spectrum, ...]:
    r"""Return the eigenvalues and singular values of every recurrent layer of a model.

    Of a model these are those of the blocks of W_hh; of a recording, those of the Jacobian of one step,
    J_t = ∂s_t/∂s_{t−1}, with s_t the state (h; of an LSTM h and c). Every recurrent layer has a Jacobian:
    also `throughtime.nn.Recurrence` with any transition, and scan layers such as `throughtime.nn.MinGRU`,
    whose J_t = diag(a_t) has the gates a_t as eigenvalues.

    For a linear recurrence h_t = W h_{t−1} the gradient N steps back is ∂L/∂h_{t−N} = (Wᵀ)ᴺ ∂L/∂h_t. Three
    numbers describe it:

    - the spectral radius ρ = max abs(λ) determines the long run: ‖Wᴺ‖ ~ ρᴺ, so gradients vanish for ρ < 1
      and explode for ρ > 1;
    - the largest singular value bounds each single step, ‖Wᴺ‖ <= σ₁ᴺ, so with
      σ₁ > 1 a gradient may grow at first, before it vanishes;
    - a condition number, max over min, only measures how unevenly directions are scaled. It does not predict
      vanishing or exploding: c·W has the condition number of W for every c.

    tanh and gates multiply each step by their slopes, which are at most 1 for tanh, so for an RNN the linear
    prediction is an upper bound on average. The gates of LSTM and GRU carry h and c past W_hh, and the
    Jacobian has their share, too; for growth over many steps see `lyapunov_exponents`.

    Parameters
    ----------
    model : Module or Watch
        A model with layers that state their recurrent weights: built-in cells without a projection, and those
        of a `throughtime.nn.Cell` with ``recurrent_blocks``, such as `throughtime.nn.LiGRU`; or a recording
        of `watch`, after a backward pass.
    step
        Of a recording: the step of the longest sequence, counted in the order of reading; negative numbers
        count from its last step.

    Returns
    -------
    tuple of Spectrum
        One for each layer, direction and gate; of a recording, for each layer and direction of every run.

    Raises
    ------
    UnsupportedError
        If there is no such layer.
    ShapeError
        If the longest sequence has no such step.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks",
       ICML (2013), section 2.

    Examples
    --------
    A condition number of a million, a spectral radius below one: gradients vanish.

    >>> import torch, throughtime as tt
    >>> layer = tt.nn.RNN(1, 2)
    >>> with torch.no_grad():
    ...     _ = layer.weight_hh_l0.copy_(torch.diag(torch.tensor([0.9, 9e-7])))
    >>> block = tt.diagnose.spectrum(layer)[0]
    >>> round(block.condition_number / 1e6, 3), round(block.spectral_radius, 3)
    (1.0, 0.9)
    >>> block.prediction(torch.ones(2), 100)[100] < 1e-4
    tensor(True)

    A scan layer, whose state decays by its gates:

    >>> layer = tt.nn.MinGRU(1, 2)
    >>> with tt.diagnose.watch(layer) as recording:
    ...     layer(torch.randn(5, 1)).output.sum().backward()
    >>> decay = tt.diagnose.spectrum(recording)[0].eigenvalues.real
    >>> gates = layer.trace(recording.directions()[0].input).states[0, 0]["update"].values
    >>> torch.allclose(decay.sort().values, (1 - gates[-1]).sort().values.double())
    True
    """
    if isinstance(model, Watch):
        return spectrum_of_steps(model.directions(), step)
    spectra = [
        _of_matrix(name, *place, block, matrix)
        for layer, name in layers_of(model).items()
        for place, blocks in layer.recurrent_blocks().items()
        for block, matrix in blocks.items()
    ]
    if not spectra:
        raise UnsupportedError(
            "this model has no layer that states a square W_hh, such as tt.nn.LiGRU, or tt.nn.LSTM without "
            "proj_size; for the Jacobian of a step of other layers, give spectrum a recording of watch(model)"
        )
    return tuple(spectra)


def spectrum_of_steps(runs: Iterable[LayerRun], step: int = -1) -> tuple[Spectrum, ...]:
    """Return the spectrum of the Jacobian of one step of the longest sequence of each run."""
    return tuple(_of_step(run, step) for run in runs)


def _of_step(run: LayerRun, step: int) -> Spectrum:
    lengths = run.read.layout.lengths
    longest = int(lengths.argmax()) if len(lengths) else 0
    count = int(lengths[longest]) if len(lengths) else 0
    if not -count <= step < count:
        raise ShapeError(f"{run.name}: the longest sequence has {count} steps, so there is no step {step}")
    size, pulled_back = run.jacobians(longest)
    with torch.no_grad():
        matrix = pulled_back(step % count, torch.eye(size, dtype=torch.float64))
    return _of_matrix(module_of(run.name), run.layer, run.direction, JACOBIAN, matrix)


def _of_matrix(name: str, layer: int, direction: int, block: str, matrix: Tensor) -> Spectrum:
    matrix = matrix.detach().to("cpu", torch.float64)
    eigenvalues = torch.linalg.eigvals(matrix)
    order = eigenvalues.abs().argsort(descending=True)
    return Spectrum(name, layer, direction, block, matrix, eigenvalues[order], torch.linalg.svdvals(matrix))
