"""`gradient_flow`: gradient norms at every step of every recurrent layer, from one backward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from throughtime._fields import Share
from throughtime.diagnose._profile import Profile, profile_of
from throughtime.diagnose._watch import Watch
from throughtime.errors import ShapeError
from throughtime.nn.recurrent.watching import LayerRun
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Saturation:
    """Fraction of a gate's units that are closed and open, (T,) each.

    Below 0.1 a gate counts as closed, above 0.9 as open, as in Karpathy et al. 2015, section 4.2.
    """

    closed: Ragged
    open: Ragged


@dataclass(frozen=True)
class GateSaturation:
    """Fraction of a gate's units that are closed and open, as a mean over all steps; see `Saturation`."""

    closed: Share
    open: Share


@dataclass(frozen=True, eq=False)
class LayerFlow:
    r"""Gradient norms of one layer and direction in one run, one number per token.

    The backward pass records them; the attributes are computed on first access.

    Parameters
    ----------
    run : LayerRun
        The recorded run.
    """

    run: LayerRun

    @property
    def name(self) -> str:
        """Name of the module, with the number of the layer if it has several."""
        return self.run.name

    @property
    def layer(self) -> int:
        """Number of the layer."""
        return self.run.layer

    @property
    def direction(self) -> int:
        """0, or 1 for the direction that reads from the end."""
        return self.run.direction

    @property
    def kind(self) -> str:
        """Kind of cell, such as LSTM."""
        return self.run.kind

    @cached_property
    def h(self) -> Ragged:
        """(T,) the norm of ∂L/∂h_t, through this step's output and all later steps.

        Of `QRNN` and `SRU`, whose steps pass on c alone, that of ∂L/∂c_t.
        """
        return self._ragged(next(iter(self._norms.values())))

    @cached_property
    def c(self) -> Ragged | None:
        """(T,) the norm of ∂L/∂c_t of cells with h and c, such as LSTM; else None."""
        return self._ragged(self._norms["c"]) if "c" in list(self._norms)[1:] else None

    @cached_property
    def weight_terms(self) -> Ragged | None:
        """(T,) the norm of what this step of this sequence adds to ∂L/∂W_hh.

        None of layers whose recurrent weights are not one known matrix: `throughtime.nn.Recurrence`, layers
        of cells, and scan layers.
        """
        terms = self.run.weight_terms
        return None if terms is None else self._ragged(terms)

    @cached_property
    def clipped_fraction(self) -> Ragged | None:
        """(T,) the fraction that ``layer.bound_gradients`` clipped of the gradient; None without bounds.

        1 − s·f, with s the fraction of entries within ``value`` and f the scale factor of ``norm``. It is
        measured for layers with weight terms only.
        """
        clipped = self.run.clipped_fraction
        return None if clipped is None else self._ragged(clipped)

    @cached_property
    def saturation(self) -> dict[str, Saturation]:
        """Saturation of each gate, by name.

        Gates of `throughtime.nn.Recurrence` and of layers of cells are the values that a step records, except
        for "candidate", whose numbers are all from 0 to 1.
        """
        return {
            name: Saturation(*(self._ragged(share) for share in shares.unbind(1)))
            for name, shares in self.run.saturation.items()
        }

    def mean_saturation(self) -> dict[str, GateSaturation]:
        """Return the mean saturation of each gate over all steps."""
        return {
            gate: GateSaturation(float(fractions.closed.values.mean()), float(fractions.open.values.mean()))
            for gate, fractions in self.saturation.items()
        }

    @cached_property
    def _norms(self) -> Mapping[str, Tensor]:
        return self.run.state_norms

    def _ragged(self, values: Tensor) -> Ragged:
        layout = self.run.read.layout
        return Ragged(values, layout.offsets, layout=layout)

    @cached_property
    def state(self) -> Ragged:
        """(T,) the norm of the gradient of all that goes on to the next step: h, and of an LSTM h and c."""
        total = torch.stack(list(self._norms.values())).norm(dim=0)
        return self.h if len(self._norms) == 1 else self._ragged(total)

    def profile(
        self,
        quantity: Literal["h", "c", "state", "weight_terms"] = "h",
        *,
        origin: Literal["end", "start"] = "end",
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    ) -> Profile:
        """Return a gradient norm by distance, in steps, from where the layer stops or starts reading.

        Parameters
        ----------
        quantity
            Which norm: an attribute of this class.
        origin
            Distance 0 is the last step that the layer reads ("end"), or the first ("start").
        quantiles
            Quantiles over the sequences that are long enough, beside their mean.
        """
        values = getattr(self, quantity)
        if values is None:
            raise ShapeError(f"{self.name} is {self.kind}, which has no {quantity}; choose h or state")
        return profile_of(values, self.run.read, origin, quantiles)

    def weight_term(self, t: int) -> Tensor:
        """Return step t's term of ∂L/∂W_hh itself, (G·H, P), summed over the sequences that have such a step.

        The sum over all t is the gradient. t counts steps in reading order.

        Raises
        ------
        ShapeError
            If only norms were recorded: use ``watch(model, whole=True)``; or if `weight_terms` is None.
        """
        return self.run.weight_term(t)


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """Gradient norms of all recurrent layers of a model; see `gradient_flow`."""

    layers: tuple[LayerFlow, ...]

    def __getitem__(self, index: int) -> LayerFlow:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)


def gradient_flow(recording: Watch) -> GradientFlow:
    r"""Return the norm of the gradient at every step of every recurrent layer and direction.

    L depends on h_t by way of this step's output and of all later steps; ∂L/∂W_hh is a sum of one term per
    step, ∂L/∂W_hh = Σ_t (∂L/∂a_t) h_{t−1}ᵀ with a_t the gates before their activation. The result holds the
    norms ‖∂L/∂h_t‖, ‖∂L/∂c_t‖ and ‖(∂L/∂a_t) h_{t−1}ᵀ‖, which is ‖∂L/∂a_t‖ ‖h_{t−1}‖.

    Parameters
    ----------
    recording : Watch
        From `watch`, after a backward pass inside the block.

    Returns
    -------
    GradientFlow
        One `LayerFlow` for every layer and direction of every run.

    Raises
    ------
    UnsupportedError
        If no backward pass was recorded.

    References
    ----------
    .. [1] Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is
       difficult", IEEE Transactions on Neural Networks 5 (1994).
    .. [2] A. Karpathy, J. Johnson and L. Fei-Fei, "Visualizing and understanding recurrent networks",
       arXiv:1506.02078 (2015): saturation of gates.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer, x = tt.nn.RNN(3, 5), torch.randn(40, 3)
    >>> with tt.diagnose.watch(layer, whole=True) as recording:
    ...     layer(x).output[-1].sum().backward()
    >>> flow = tt.diagnose.gradient_flow(recording)[0]
    >>> profile = flow.profile("h")
    >>> bool(profile.mean[30] < profile.mean[0])  # 30 steps before the end it has almost vanished
    True
    >>> terms = sum(flow.weight_term(t) for t in range(40))
    >>> torch.allclose(terms, layer.weight_hh_l0.grad, atol=1e-6)
    True
    """
    return GradientFlow(tuple(LayerFlow(run) for run in recording.directions()))
