"""`Diagnosis` and its parts: the result of `diagnose`, as frozen data that can be written as JSON."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from throughtime._fields import Fields, to_json
from throughtime.diagnose._findings import Finding, by_severity
from throughtime.diagnose._flow import GateSaturation

VERSION = 3
"""Version of the JSON form."""


@dataclass(frozen=True)
class ModuleNorms:
    """Norms of the parameters that a module owns itself, and of their gradients; None if not finite."""

    name: str
    gradient: float | None
    weight: float | None


@dataclass(frozen=True)
class ProfileSummary:
    """A `Profile` with three quantiles: entry d is d steps from the end or start; None if not finite."""

    mean: tuple[float | None, ...]
    q10: tuple[float | None, ...]
    q50: tuple[float | None, ...]
    q90: tuple[float | None, ...]


@dataclass(frozen=True)
class InputProfiles:
    """‖∂L/∂x_t‖ of the features, by distance from the end and from the start of the sequence."""

    from_end: ProfileSummary
    from_start: ProfileSummary


@dataclass(frozen=True)
class LayerProfiles:
    """‖∂L/∂h_t‖, ‖∂L/∂c_t‖ and ‖step t's term of ∂L/∂W_hh‖; None where a layer has none, see `LayerFlow`."""

    h: ProfileSummary
    c: ProfileSummary | None
    weight_terms: ProfileSummary | None


@dataclass(frozen=True)
class LayerDiagnosis:
    """Gradient flow through one layer and direction; distances count from where the layer stops or starts."""

    name: str
    layer: int
    direction: int
    """0, or 1 for the direction that reads from the end."""
    kind: str
    """Kind of cell, such as LSTM."""
    clipped_fraction: float | None
    """Mean fraction that `bound_gradients` clipped; None without bounds."""
    saturation: Mapping[str, GateSaturation]
    """By name of the gate."""
    from_end: LayerProfiles
    from_start: LayerProfiles
    steps: int | None = None
    """Length of the longest sequence."""
    effective_horizon: int | None = None
    """Steps back after which the mean gradient is below 1 % of its largest; None if it never is."""


@dataclass(frozen=True)
class LayerHorizon:
    """How far back gradients get in one layer and direction: that of the loss, and the slowest direction.

    The two are different quantities. The gradient of the loss vanishes sooner than the slowest direction if
    little of it lies along that direction, and later where the loss depends on early steps directly.
    """

    name: str
    layer: int
    direction: int
    steps: int | None
    """Length of the longest sequence."""
    loss: int | None
    """Steps after which the mean gradient of the loss is below 1 % of its largest; None if it never is."""
    exponent: float | None
    """Largest Lyapunov exponent, per step; None if it was not measured."""
    slowest: float | None
    """Steps after which the slowest direction has shrunk to 1 %; None if it does not shrink."""


@dataclass(frozen=True)
class SpectrumSummary:
    """A `Spectrum`, and for an RNN the gradient norm that it predicts beside the measured one.

    Of layers without known blocks of W_hh, that of the Jacobian of the last step of the longest sequence, if
    the state has at most 512 numbers.
    """

    name: str
    layer: int
    direction: int
    block: str
    eigenvalues: tuple[complex, ...]
    singular_values: tuple[float | None, ...]
    spectral_radius: float
    norm: float
    condition_number: float | None
    """None if it is infinite."""
    measured: tuple[float | None, ...] | None = None
    """Mean ‖∂L/∂h‖ by distance from the last step; of an RNN's W_hh only."""
    prediction: tuple[float | None, ...] | None = None
    """‖(W_hhᵀ)ⁿ ∂L/∂h‖ for the same distances; see `Spectrum.prediction`."""


@dataclass(frozen=True)
class LyapunovSummary:
    """The leading Lyapunov exponents of a layer and direction; see `lyapunov_exponents`."""

    name: str
    layer: int
    direction: int
    exponents: tuple[float | None, ...]
    """Descending, per step."""
    horizon: float | None
    """Steps after which the slowest direction has shrunk to 1 %; None if it does not shrink."""


@dataclass(frozen=True)
class RecencySummary:
    """Mean fraction of influence by distance from the end of the sequence; see `Influence.recency`."""

    distance: tuple[int, ...]
    mean: tuple[float | None, ...]
    count: tuple[int, ...]
    """Number of sequences with a step at that distance."""


@dataclass(frozen=True)
class ExampleDiagnosis:
    """One sequence, token by token."""

    tokens: tuple[str, ...]
    influence: tuple[float | None, ...]
    """Of each token, by gradient times input."""
    gates: Mapping[str, Mapping[str, tuple[float | None, ...]]]
    """By layer and gate, the mean over units at each step."""


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`: all measurements of a model on one batch, without tensors.

    Profiles are cut to 512 steps, spectra to 512 numbers.

    Parameters
    ----------
    loss : float
        Of the batch.
    gradient_norm : float
        Of all parameters together.
    gradient_norms : tuple of ModuleNorms
        Of each module that owns parameters.
    inputs : InputProfiles
        Gradients of the input features.
    findings : tuple of Finding
        Problems first, then warnings, then notes.
    layers : tuple of LayerDiagnosis
        Gradient flow of each recurrent layer and direction; empty without recurrence, as the next two.
    spectrum : tuple of SpectrumSummary
        Of each square block of recurrent weights.
    lyapunov : tuple of LyapunovSummary
        Of each recurrent layer and direction.
    recency : RecencySummary
        Which steps the output depends on.
    examples : tuple of ExampleDiagnosis
        The first sequences, token by token.
    """

    loss: float
    gradient_norm: float
    gradient_norms: tuple[ModuleNorms, ...]
    inputs: InputProfiles
    findings: tuple[Finding, ...]
    layers: tuple[LayerDiagnosis, ...]
    spectrum: tuple[SpectrumSummary, ...]
    lyapunov: tuple[LyapunovSummary, ...]
    recency: RecencySummary
    examples: tuple[ExampleDiagnosis, ...]

    @property
    def horizons(self) -> tuple[LayerHorizon, ...]:
        """How far back gradients get, for each recurrent layer and direction."""
        exponents = {(part.name, part.layer, part.direction): part for part in self.lyapunov}
        return tuple(
            _horizon(layer, exponents.get((layer.name, layer.layer, layer.direction)))
            for layer in self.layers
        )

    def with_findings(self, more: Iterable[Finding]) -> "Diagnosis":
        """Return this diagnosis with more findings, sorted by severity."""
        return dataclasses.replace(self, findings=by_severity([*self.findings, *more]))

    def to_json(self) -> dict[str, Any]:
        """Return the diagnosis as JSON values; complex numbers are pairs."""
        content: dict[str, Any] = {"version": VERSION, **to_json(self)}
        return content

    @classmethod
    def from_json(cls, content: Any) -> "Diagnosis":
        """Return the diagnosis that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type, or the version is another one.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> x = tt.Ragged.from_list([torch.randn(5, 3)])
        >>> layer = tt.nn.GRU(3, 4)
        >>> diagnosis = tt.diagnose.diagnose(
        ...     layer, x, lambda y: y.state.sum(), outcome=lambda y: y.state[0].sum(1)
        ... )
        >>> tt.diagnose.Diagnosis.from_json(diagnosis.to_json()) == diagnosis
        True
        """
        fields = Fields(content)
        if fields.whole("version") != VERSION:
            raise ValueError(f"version must be {VERSION}, got {content['version']}; run the diagnosis again")
        return fields.dataclass(cls)


def _horizon(layer: LayerDiagnosis, lyapunov: LyapunovSummary | None) -> LayerHorizon:
    return LayerHorizon(
        name=layer.name,
        layer=layer.layer,
        direction=layer.direction,
        steps=layer.steps,
        loss=layer.effective_horizon,
        exponent=lyapunov.exponents[0] if lyapunov is not None and lyapunov.exponents else None,
        slowest=None if lyapunov is None else lyapunov.horizon,
    )
