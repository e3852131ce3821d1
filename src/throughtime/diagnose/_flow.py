"""`gradient_flow`: how large the gradient is at every step, layer by layer, from one backward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from throughtime.diagnose._profile import Profile, profile_of
from throughtime.diagnose._watch import DirectionRun, Watch
from throughtime.errors import ShapeError
from throughtime.nn._pre_activations import gate_names
from throughtime.ragged import Ragged

# From here on a gate counts as closed or open: Karpathy et al. 2015, section 4.2.
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True)
class Saturation:
    """Of one gate: the share of its units that are closed (below 0.1) and open (above 0.9), (T,) each."""

    closed: Ragged
    open: Ragged


@dataclass(frozen=True, eq=False)
class LayerFlow:
    r"""The gradients of one layer and direction in one run, as norms: one number per token.

    Parameters
    ----------
    name : str
        Of the module, with the layer's number if it has several.
    layer, direction : int
        Direction 1 reads from the end.
    kind : str
        "LSTM", "GRU" or "RNN".
    h : Ragged
        (T,) the norm of ∂L/∂h_t, by way of all later steps, too.
    c : Ragged, optional
        (T,) of ∂L/∂c_t; LSTM only.
    weight_terms : Ragged
        (T,) the norm of what this step of this sequence adds to ∂L/∂W_hh.
    kept : Ragged, optional
        (T,) what bounds inside the recurrence left of the gradient, see ``layer.bound_gradients``.
    saturation : dict of str to Saturation
        Of each gate.
    """

    name: str
    layer: int
    direction: int
    kind: str
    h: Ragged
    c: Ragged | None
    weight_terms: Ragged
    kept: Ragged | None
    saturation: dict[str, Saturation]
    _run: DirectionRun

    def profile(
        self,
        of: Literal["h", "c", "weight_terms"] = "h",
        *,
        origin: Literal["end", "start"] = "end",
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    ) -> Profile:
        """Return a norm by its distance, in steps, from where the layer stops or starts to read.

        Parameters
        ----------
        of
            Which norm.
        origin
            Distance 0 is the last step that the layer reads ("end"), or the first ("start").
        quantiles
            Over the sequences that are long enough, beside their mean.
        """
        values = getattr(self, of)
        if values is None:
            raise ShapeError(f"{self.name} is {self.kind}, which has no {of}; there are h and weight_terms")
        return profile_of(values, self._run.read, origin, quantiles)

    def weight_term(self, t: int) -> Tensor:
        """Return step t's term of ∂L/∂W_hh itself, (G·H, P), summed over the sequences that have such a step.

        The sum over all t is the gradient. t counts the steps in the order in which the layer reads.
        """
        run = self._run
        rows = run.read.rows_at(t)
        gradients = _recurrent_part(run).index_select(0, rows)
        if run.spec.kind == "GRU" and not run.spec.reset_after:
            h = run.h_before.index_select(0, rows)
            reset = run.gates[:, 0].index_select(0, rows)
            size = 2 * h.shape[1]
            return torch.cat([gradients[:, :size].t() @ h, gradients[:, size:].t() @ (reset * h)])
        return gradients.t() @ run.h_before.index_select(0, rows)


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """What one backward pass brought to every step of a model's recurrent layers; see `gradient_flow`."""

    layers: tuple[LayerFlow, ...]

    def __getitem__(self, place: int) -> LayerFlow:
        return self.layers[place]

    def __len__(self) -> int:
        return len(self.layers)


def gradient_flow(seen: Watch) -> GradientFlow:
    r"""Return the size of the gradient at every step of every recurrent layer and direction.

    L depends on h_t by way of this step's output and of all later steps; ∂L/∂W_hh is a sum of one term per
    step, ∂L/∂W_hh = Σ_t (∂L/∂a_t) h_{t−1}ᵀ with a_t the gates before their activation. What comes out are the
    norms ‖∂L/∂h_t‖, ‖∂L/∂c_t‖ and ‖(∂L/∂a_t) h_{t−1}ᵀ‖, which is ‖∂L/∂a_t‖ ‖h_{t−1}‖.

    Parameters
    ----------
    seen : Watch
        From `watch`, after a backward pass inside of it.

    Returns
    -------
    GradientFlow
        One `LayerFlow` for every layer and direction of every run.

    Raises
    ------
    UnsupportedError
        If no backward pass was seen.

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
    >>> with tt.diagnose.watch(layer) as seen:
    ...     layer(x).output[-1].sum().backward()
    >>> flow = tt.diagnose.gradient_flow(seen)[0]
    >>> profile = flow.profile("h")
    >>> bool(profile.mean[30] < profile.mean[0])  # 30 steps before the end it has all but vanished
    True
    >>> terms = sum(flow.weight_term(t) for t in range(40))
    >>> torch.allclose(terms, layer.weight_hh_l0.grad, atol=1e-6)
    True
    """
    return GradientFlow(tuple(_layer_flow(run) for run in seen.directions()))


def _layer_flow(run: DirectionRun) -> LayerFlow:
    record, layout = run.record, run.read.layout

    def ragged(values: Tensor) -> Ragged:
        return Ragged(values, layout.offsets, layout=layout)

    def norm(values: Tensor) -> Tensor:
        found: Tensor = torch.linalg.vector_norm(values, dim=-1)
        return found

    with torch.no_grad():
        before = run.h_before
        gradients = _recurrent_part(run)
        terms = norm(gradients) * norm(before)
        if run.spec.kind == "GRU" and not run.spec.reset_after:
            size = 2 * before.shape[1]
            parts = (gradients[:, :size], before), (gradients[:, size:], run.gates[:, 0] * before)
            terms = torch.hypot(*(norm(a) * norm(b) for a, b in parts))
        saturation = {
            name: Saturation(*(ragged(share.to(gate.dtype).mean(1)) for share in (gate < LOW, gate > HIGH)))
            for name, gate in zip(gate_names(run.spec), run.gates.unbind(1), strict=False)
            if name != "candidate"
        }
        return LayerFlow(
            run.name,
            run.layer,
            run.direction,
            run.spec.kind,
            ragged(norm(run.gradient(record.h))),
            None if record.c is None else ragged(norm(run.gradient(record.c))),
            ragged(terms),
            None if record.kept is None else ragged(run.gradient(record.kept)),
            saturation,
            run,
        )


def _recurrent_part(run: DirectionRun) -> Tensor:
    """Return (T, G·H): the gradient of what W_hh's product adds to."""
    pre = run.gradient(run.record.pre_activations)
    if run.spec.kind == "GRU" and run.spec.reset_after:
        pre = torch.cat([pre[:, :2], pre[:, 3:]], 1)
    return pre.flatten(1)
