"""`spectrum`: eigenvalues and singular values of recurrent weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError, UnsupportedError
from throughtime.nn.recurrent.layer import Recurrent


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""Eigenvalues and singular values of one square block of W_hh, all in float64.

    Parameters
    ----------
    name : str
        Name of the module.
    layer, direction : int
        Direction 1 reads from the end.
    block : str
        Gate whose rows these are; "h" for an RNN.
    matrix : Tensor
        (H, H) the block.
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


def spectrum(model: nn.Module) -> tuple[Spectrum, ...]:
    r"""Return the eigenvalues and singular values of every recurrent block of a model.

    For a linear recurrence h_t = W h_{t−1} the gradient N steps back is ∂L/∂h_{t−N} = (Wᵀ)ᴺ ∂L/∂h_t. Three
    numbers describe it:

    - the spectral radius ρ = max abs(λ) determines the long run: ‖Wᴺ‖ ~ ρᴺ, so gradients vanish for ρ < 1
      and explode for ρ > 1;
    - the largest singular value bounds each single step, ‖Wᴺ‖ <= σ₁ᴺ, so with
      σ₁ > 1 a gradient may grow at first, before it vanishes;
    - a condition number, max over min, only measures how unevenly directions are scaled. It does not predict
      vanishing or exploding: c·W has the condition number of W for every c.

    tanh and gates multiply each step by their slopes, which are at most 1 for tanh, so for an RNN the linear
    prediction is an upper bound on average. The gates of LSTM and GRU carry h and c past W_hh; for these see
    `lyapunov_exponents`.

    Parameters
    ----------
    model : Module
        With `throughtime.nn.RNN`, `LSTM` or `GRU` in it, without a projection.

    Returns
    -------
    tuple of Spectrum
        One for each layer, direction and gate.

    Raises
    ------
    UnsupportedError
        If there is no such layer.

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
    """
    spectra = []
    for module_name, module in model.named_modules():
        if not isinstance(module, Recurrent) or module.proj_size:
            continue
        hidden = module.hidden_size
        blocks = module.spec.row_blocks
        for place, names in enumerate(module._all_weights):  # noqa: SLF001
            directions = 2 if module.bidirectional else 1
            whole = getattr(module, names[1]).detach().to("cpu", torch.float64)
            for block, matrix in zip(blocks, whole.split(hidden), strict=True):
                eigenvalues = torch.linalg.eigvals(matrix)
                order = eigenvalues.abs().argsort(descending=True)
                spectra.append(
                    Spectrum(
                        module_name or type(module).__name__,
                        place // directions,
                        place % directions,
                        block,
                        matrix,
                        eigenvalues[order],
                        torch.linalg.svdvals(matrix),
                    )
                )
    if not spectra:
        raise UnsupportedError(
            "this model has no recurrent layer with a square W_hh; spectrum takes tt.nn.RNN, LSTM and GRU "
            "without proj_size"
        )
    return tuple(spectra)
