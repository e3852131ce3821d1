"""`diagnose`: all measurements of a model on one batch."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from throughtime.diagnose._diagnosis import (
    Diagnosis,
    ExampleDiagnosis,
    InputProfiles,
    LayerDiagnosis,
    LayerProfiles,
    LyapunovSummary,
    ModuleNorms,
    ProfileSummary,
    RecencySummary,
    SpectrumSummary,
)
from throughtime.diagnose._features import BatchFeatures, InputGradients, input_gradients
from throughtime.diagnose._findings import Finding, by_severity, effective_horizon, findings_of_flow
from throughtime.diagnose._flow import GradientFlow, LayerFlow, gradient_flow
from throughtime.diagnose._influence import Influence, influence
from throughtime.diagnose._lyapunov import lyapunov_exponents
from throughtime.diagnose._not_finite import first_not_finite
from throughtime.diagnose._profile import Profile, profile_of
from throughtime.diagnose._spectrum import Spectrum, spectrum, spectrum_of_steps
from throughtime.diagnose._training_findings import drifting, order_unused
from throughtime.diagnose._vanished import vanished_finding
from throughtime.diagnose._watch import Watch, is_recurrent, module_of, watch
from throughtime.errors import NotFiniteError, ShapeError, UnsupportedError
from throughtime.nn.recurrent.watching import LayerRun
from throughtime.nn.trace.reading import Reading
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged

# Profiles are cut to this many steps, and spectra to this many numbers: figures show no more.
MOST = 512


def diagnose(
    model: nn.Module,
    batch: Ragged,
    loss: Callable[[Any], Tensor],
    *,
    target: Tensor | None = None,
    outcome: Callable[[Any], Tensor] | None = None,
    tokens: Sequence[Sequence[str]] | None = None,
    examples: int = 4,
    exponents: int = 8,
    features_of: nn.Module | None = None,
) -> Diagnosis:
    """Measure a model on one batch: gradient flow, findings, spectra, Lyapunov exponents and influence.

    The model runs in evaluation mode; gradients of its parameters are left as they were. Takes three forward
    and backward passes, five forward passes, and a Python loop over four sequences for the exponents.

    Parameters
    ----------
    model : Module
        Of a model without a recurrent layer of throughtime, gradients of parameters and inputs, influence and
        the use of the token order are measured; ``layers``, ``spectrum`` and ``lyapunov`` are empty.
    batch : Ragged
        Input of the model.
    loss : callable
        Maps the model's output to a scalar.
    target, outcome, features_of
        As in `influence`.
    tokens : sequence of sequences of str, optional
        Names of the tokens of the first sequences.
    examples
        Number of sequences to show token by token.
    exponents
        Number of Lyapunov exponents; 0 for none.

    Returns
    -------
    Diagnosis
        For `throughtime.report.write_diagnoses`, or to be written as JSON.

    Raises
    ------
    NotFiniteError
        If the loss is not finite; the message says where the first such number appeared.
    UnsupportedError, ShapeError
        If the batch has no tokens, or the model has no embedding or several.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiGRU(vocabulary_size=10, outputs=2)
    >>> batch = tt.Ragged.from_list([torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6])])
    >>> diagnosis = tt.diagnose.diagnose(model, batch, lambda y: y.logsumexp(1).mean())
    >>> [(layer.name, layer.direction, layer.kind) for layer in diagnosis.layers]
    [('recurrent', 0, 'GRU'), ('recurrent', 1, 'GRU')]
    >>> diagnosis.recency.distance
    (0, 1, 2, 3)
    """
    if not len(batch.values):
        raise ShapeError("this batch has no tokens, so there is nothing to measure; give at least one token")
    grads = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        with evaluating(model):
            model.zero_grad()
            features = BatchFeatures(model, batch, features_of)
            scores = partial(influence, model, batch, target, outcome=outcome, features_of=features_of)
            return _diagnosis(features, loss, scores, tokens, examples, exponents)
    finally:
        for parameter, grad in grads:
            parameter.grad = grad


def _diagnosis(
    features: BatchFeatures,
    loss: Callable[[Any], Tensor],
    influence_scores: Callable[[], Influence],
    tokens: Sequence[Sequence[str]] | None,
    examples: int,
    exponents: int,
) -> Diagnosis:
    model, batch = features.model, features.batch
    recurrent = is_recurrent(model)
    with watch(model, whole=True) if recurrent else nullcontext() as recording, torch.enable_grad():
        value = loss(model(batch))
        value.backward()
    _check_finite(value, recording)
    runs = [] if recording is None else recording.directions()
    flow = GradientFlow(()) if recording is None else gradient_flow(recording)
    norms = _norms(model)
    inputs = input_gradients(features, loss)
    candidates = [
        *findings_of_flow(flow),
        *(_drift(run) for run in runs),
        vanished_finding(features, inputs, loss),
        order_unused(model, batch, loss),
    ]
    scores = influence_scores()
    return Diagnosis(
        loss=float(value.detach()),
        gradient_norm=math.hypot(*(norm.gradient or 0.0 for norm in norms)),
        gradient_norms=norms,
        inputs=_inputs(inputs, batch),
        findings=by_severity([finding for finding in candidates if finding is not None]),
        layers=tuple(map(_layer, flow.layers)),
        spectrum=() if recording is None else _spectra(model, recording, flow),
        lyapunov=() if recording is None else _exponents(recording, exponents),
        recency=_recency(scores),
        examples=_examples(batch, scores, runs, tokens, examples),
    )


def _check_finite(value: Tensor, recording: Watch | None) -> None:
    if math.isfinite(float(value.detach())):
        return
    if recording is None:
        where = "look at the inputs and the weights"
    else:
        where = first_not_finite(recording) or "all states are finite, so it comes from the loss itself"
    raise NotFiniteError(f"the loss is {float(value.detach())}: {where}")


def _norms(model: nn.Module) -> tuple[ModuleNorms, ...]:
    """Return the norms of gradients and weights of every module that owns parameters."""
    trained = [
        (name or type(module).__name__, [p for p in module.parameters(recurse=False) if p.requires_grad])
        for name, module in model.named_modules()
    ]
    return tuple(_module_norms(name, parameters) for name, parameters in trained if parameters)


def _module_norms(name: str, parameters: Sequence[Tensor]) -> ModuleNorms:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return ModuleNorms(
        name,
        _finite(nn.utils.get_total_norm(gradients)) if gradients else 0.0,
        _finite(nn.utils.get_total_norm([parameter.detach() for parameter in parameters])),
    )


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None


def _inputs(measured: InputGradients, batch: Ragged) -> InputProfiles:
    """Return the norm of the gradient of each step's features, by distance from both ends."""
    size, reading = batch.with_values(measured.norms), Reading(batch.layout, reverse=False)
    levels = (0.1, 0.5, 0.9)
    return InputProfiles(
        _profile(profile_of(size, reading, "end", levels)),
        _profile(profile_of(size, reading, "start", levels)),
    )


def _drift(run: LayerRun) -> Finding | None:
    values = run.states.get("c", next(iter(run.states.values())))
    states = Ragged(values, run.read.layout.offsets, layout=run.read.layout)
    return drifting(states.reverse() if run.read.reverse else states, _title(run))


def _numbers(values: Tensor) -> tuple[float | None, ...]:
    """Return at most `MOST` numbers, None for those that are not finite."""
    numbers = values.detach().double().flatten()[:MOST].tolist()
    return tuple(number if math.isfinite(number) else None for number in numbers)


def _layer(layer: LayerFlow) -> LayerDiagnosis:
    clipped = layer.clipped_fraction
    return LayerDiagnosis(
        name=layer.name,
        layer=layer.layer,
        direction=layer.direction,
        kind=layer.kind,
        clipped_fraction=None if clipped is None else float(clipped.values.mean()),
        saturation=layer.mean_saturation(),
        from_end=_layer_profiles(layer, "end"),
        from_start=_layer_profiles(layer, "start"),
        steps=int(layer.h.lengths.max()) if len(layer.h.lengths) else 0,
        effective_horizon=effective_horizon(layer),
    )


def _layer_profiles(layer: LayerFlow, origin: Literal["end", "start"]) -> LayerProfiles:
    return LayerProfiles(
        h=_profile(layer.profile("h", origin=origin)),
        c=None if layer.c is None else _profile(layer.profile("c", origin=origin)),
        weight_terms=None
        if layer.weight_terms is None
        else _profile(layer.profile("weight_terms", origin=origin)),
    )


def _profile(profile: Profile) -> ProfileSummary:
    return ProfileSummary(_numbers(profile.mean), *(_numbers(profile.quantiles[q]) for q in (0.1, 0.5, 0.9)))


def _spectra(model: nn.Module, recording: Watch, flow: GradientFlow) -> tuple[SpectrumSummary, ...]:
    """Return the spectra of recurrent weights, and of the last step's Jacobian of layers without any."""
    try:
        weights = spectrum(model)
    except UnsupportedError:
        weights = ()
    known = {_place(block) for block in weights}
    runs = [run for run in recording.directions() if _place(run) not in known]
    jacobians = spectrum_of_steps([run for run in runs if _size(run) <= MOST])
    return tuple(_spectrum(block, flow) for block in (*weights, *jacobians))


def _size(run: LayerRun) -> int:
    return sum(part.shape[1] for part in run.states.values())


def _place(part: Spectrum | LayerRun) -> tuple[str, int, int]:
    """Return the name of the module, the layer and the direction."""
    return module_of(part.name), part.layer, part.direction


def _spectrum(block: Spectrum, flow: GradientFlow) -> SpectrumSummary:
    measured, prediction = _measured_and_predicted(block, flow) if block.block == "h" else (None, None)
    return SpectrumSummary(
        name=block.name,
        layer=block.layer,
        direction=block.direction,
        block=block.block,
        eigenvalues=tuple(block.eigenvalues[:MOST].tolist()),
        singular_values=_numbers(block.singular_values),
        spectral_radius=block.spectral_radius,
        norm=block.norm,
        condition_number=block.condition_number if math.isfinite(block.condition_number) else None,
        measured=measured,
        prediction=prediction,
    )


def _measured_and_predicted(
    block: Spectrum, flow: GradientFlow
) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Return the mean norm of ∂L/∂h by distance from the last step, measured and as W_hh alone predicts."""
    layer = next(layer for layer in flow.layers if _place(layer.run) == _place(block))
    mean = layer.profile("h").mean
    prediction = block.prediction(_last_gradients(layer.run), len(mean) - 1)
    return _numbers(mean), _numbers(prediction)


def _last_gradients(run: LayerRun) -> Tensor:
    """Return (n, H): ∂L/∂h at the last step that is read of each sequence."""
    offsets = run.read.layout.offsets
    last = offsets[:-1] if run.read.reverse else offsets[1:] - 1
    return run.state_gradients["h"].index_select(0, last[offsets.diff() > 0])


def _exponents(recording: Watch, count: int) -> tuple[LyapunovSummary, ...]:
    if not count:
        return ()
    try:
        layers = lyapunov_exponents(recording, count=count)
    except ShapeError:
        return ()  # no sequence of two steps
    return tuple(
        LyapunovSummary(
            layer.name,
            layer.layer,
            layer.direction,
            _numbers(layer.exponents),
            layer.horizon if math.isfinite(layer.horizon) else None,
        )
        for layer in layers
    )


def _recency(scores: Influence) -> RecencySummary:
    profile = scores.recency()
    return RecencySummary(
        tuple(profile.distance[:MOST].tolist()),
        _numbers(profile.mean),
        tuple(profile.count[:MOST].tolist()),
    )


def _examples(
    batch: Ragged,
    scores: Influence,
    runs: Sequence[LayerRun],
    tokens: Sequence[Sequence[str]] | None,
    count: int,
) -> tuple[ExampleDiagnosis, ...]:
    with_tokens = [b for b in range(len(batch)) if int(batch.lengths[b])]
    return tuple(
        ExampleDiagnosis(
            _names(batch, tokens, b),
            _numbers(scores.scores[b]),
            {_title(run): _gates(run, b) for run in runs if run.gates},
        )
        for b in with_tokens[:count]
    )


def _names(batch: Ragged, tokens: Sequence[Sequence[str]] | None, b: int) -> tuple[str, ...]:
    length = int(batch.lengths[b])
    if tokens is None:
        return tuple(map(str, range(length)))
    if len(tokens[b]) != length:
        raise ShapeError(f"sequence {b} has {length} tokens, but {len(tokens[b])} names were given for them")
    return tuple(tokens[b])


def _title(run: LayerRun) -> str:
    return run.name + (", from the end" if run.direction else "")


def _gates(run: LayerRun, b: int) -> dict[str, tuple[float | None, ...]]:
    """Return the mean of each gate over units at every step of one sequence."""
    offsets = run.read.layout.host_offsets
    rows = slice(int(offsets[b]), int(offsets[b + 1]))
    return {name: _numbers(gate[rows].mean(1)) for name, gate in run.gates.items()}
