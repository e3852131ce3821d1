"""`diagnose`: everything that is measured of a model on one batch, as plain data that can be written down."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.diagnose._features import FeaturesOf, InputGradients, input_gradients
from throughtime.diagnose._findings import Finding, findings_of_flow, in_order
from throughtime.diagnose._flow import GradientFlow, LayerFlow, gradient_flow
from throughtime.diagnose._influence import Influence, influence
from throughtime.diagnose._lyapunov import lyapunov_exponents
from throughtime.diagnose._not_finite import first_not_finite
from throughtime.diagnose._profile import Profile, profile_of
from throughtime.diagnose._spectrum import Spectrum, spectrum
from throughtime.diagnose._training_findings import drifting, order_unused
from throughtime.diagnose._vanished import verdict_of
from throughtime.diagnose._watch import DirectionRun, Watch, watch
from throughtime.errors import NotFiniteError, ShapeError, UnsupportedError
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.nn.trace.reading import Reading
from throughtime.ops.modes import evaluating
from throughtime.ragged import Ragged

VERSION = 2

# Profiles are cut to so many steps, and spectra to so many numbers: more no picture shows.
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
    at: nn.Module | None = None,
) -> dict[str, Any]:
    """Measure a model on one batch: gradient flow, findings, spectra, exponents, influence.

    In evaluation mode; gradients of the parameters are left as they were. Costs three forward and backward
    passes, five forward passes, and a loop in Python over four sequences for the exponents.

    Parameters
    ----------
    model : Module
        Of a model without a recurrent layer of throughtime, gradients of parameters and inputs, influence and
        the order of tokens are measured; "layers", "spectrum" and "lyapunov" are empty.
    batch : Ragged
        What it reads.
    loss : callable
        From the model's output to a scalar.
    target, outcome, at
        Of `influence`.
    tokens : sequence of sequences of str, optional
        What to call the tokens of the first sequences.
    examples
        How many sequences are shown token by token.
    exponents
        How many Lyapunov exponents; 0 for none.

    Returns
    -------
    dict
        Plain numbers, strings, lists and dicts, as ``docs/diagnosis.md`` says, for JSON and for the report.

    Raises
    ------
    NotFiniteError
        If the loss is not finite; the message says where the first such number appeared.
    UnsupportedError, ShapeError
        If there is no token, or no embedding to look at, or several.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiGRU(vocabulary_size=10, classes=2)
    >>> batch = tt.Ragged.from_list([torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6])])
    >>> found = tt.diagnose.diagnose(model, batch, lambda y: y.logsumexp(1).mean())
    >>> sorted(found)[:7]
    ['examples', 'findings', 'gradient_norm', 'gradient_norms', 'inputs', 'layers', 'loss']
    >>> sorted(found)[7:]
    ['lyapunov', 'recency', 'spectrum', 'version']
    """
    if not len(batch.values):
        raise ShapeError("this batch has no tokens, so there is nothing to look at")
    grads = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        with evaluating(model):
            model.zero_grad()
            question = FeaturesOf(model, batch, at)
            influences = partial(influence, model, batch, target, outcome=outcome, at=at)
            return _measured(question, loss, influences, tokens, examples, exponents)
    finally:
        for parameter, grad in grads:
            parameter.grad = grad


def _measured(
    question: FeaturesOf,
    loss: Callable[[Any], Tensor],
    influences: Callable[[], Influence],
    tokens: Sequence[Sequence[str]] | None,
    examples: int,
    exponents: int,
) -> dict[str, Any]:
    model, batch = question.model, question.batch
    recurrent = any(isinstance(module, Recurrent) for module in model.modules())
    with watch(model, whole=True) if recurrent else nullcontext() as seen, torch.enable_grad():
        value = loss(model(batch))
        value.backward()
    _check_finite(value, seen)
    runs = [] if seen is None else seen.directions()
    flow = GradientFlow(()) if seen is None else gradient_flow(seen)
    norms = _norms(model)
    inputs = input_gradients(question, loss)
    verdicts = [
        *findings_of_flow(flow),
        *(_drift(run) for run in runs),
        verdict_of(question, inputs, loss),
        order_unused(model, batch, loss),
    ]
    scores = influences()
    return {
        "version": VERSION,
        "loss": float(value.detach()),
        "gradient_norm": math.hypot(*(norm["gradient"] or 0.0 for norm in norms)),
        "gradient_norms": norms,
        "inputs": _inputs(inputs, batch),
        "findings": [asdict(one) for one in in_order([one for one in verdicts if one is not None])],
        "layers": [_layer(one) for one in flow.layers],
        "spectrum": _spectra(model, flow) if recurrent else [],
        "lyapunov": [] if seen is None else _exponents(seen, exponents),
        "recency": _recency(scores),
        "examples": _examples(batch, scores, runs, tokens, examples),
    }


def _check_finite(value: Tensor, seen: Watch | None) -> None:
    if math.isfinite(float(value.detach())):
        return
    if seen is None:
        where = "look at the inputs and the weights"
    else:
        where = first_not_finite(seen) or "all states are finite, so it comes from the loss itself"
    raise NotFiniteError(f"the loss is {float(value.detach())}: {where}")


def _norms(model: nn.Module) -> list[dict[str, Any]]:
    """Return the norms of gradients and weights of every module that has parameters of its own."""
    found = []
    for name, module in model.named_modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        if own:
            gradients = [parameter.grad for parameter in own if parameter.grad is not None]
            found.append(
                {
                    "name": name or type(module).__name__,
                    "gradient": _finite(nn.utils.get_total_norm(gradients)) if gradients else 0.0,
                    "weight": _finite(nn.utils.get_total_norm([parameter.detach() for parameter in own])),
                }
            )
    return found


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None


def _inputs(measured: InputGradients, batch: Ragged) -> dict[str, Any]:
    """Return the norm of the gradient of each step's features, by distance from both ends."""
    size, reading = batch.with_values(measured.norms), Reading(batch.layout, reverse=False)
    levels = (0.1, 0.5, 0.9)
    return {
        "from_end": _profile(profile_of(size, reading, "end", levels)),
        "from_start": _profile(profile_of(size, reading, "start", levels)),
    }


def _drift(run: DirectionRun) -> Finding | None:
    states = Ragged(run.h if run.c is None else run.c, run.read.layout.offsets, layout=run.read.layout)
    return drifting(states.reverse() if run.read.reverse else states, _title(run))


def _numbers(values: Tensor) -> list[float | None]:
    """Numbers for JSON, which has no infinity."""
    return [x if math.isfinite(x) else None for x in values.detach().double().flatten()[:MOST].tolist()]


def _layer(layer: LayerFlow) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": layer.name,
        "layer": layer.layer,
        "direction": layer.direction,
        "kind": layer.kind,
        "clipped_fraction": None
        if layer.clipped_fraction is None
        else float(layer.clipped_fraction.values.mean()),
        "saturation": {
            name: {"closed": float(one.closed.values.mean()), "open": float(one.open.values.mean())}
            for name, one in layer.saturation.items()
        },
    }
    for origin, key in (("end", "from_end"), ("start", "from_start")):
        profiles = {}
        for of in ("h", "c", "weight_terms"):
            if getattr(layer, of) is None:
                continue
            profile = layer.profile(of, origin=origin)  # type: ignore[arg-type]
            profiles[of] = _profile(profile)
        found[key] = profiles
    return found


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "mean": _numbers(profile.mean),
        **{f"{q:g}": _numbers(values) for q, values in profile.quantiles.items()},
    }


def _spectra(model: nn.Module, flow: GradientFlow) -> list[dict[str, Any]]:
    try:
        found = spectrum(model)
    except UnsupportedError:
        return []
    return [_spectrum(one, flow) for one in found]


def _spectrum(one: Spectrum, flow: GradientFlow) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": one.name,
        "layer": one.layer,
        "direction": one.direction,
        "block": one.block,
        "eigenvalues": [[z.real, z.imag] for z in one.eigenvalues[:MOST].tolist()],
        "singular_values": _numbers(one.singular_values),
        "spectral_radius": one.spectral_radius,
        "norm": one.norm,
        "condition_number": one.condition_number if math.isfinite(one.condition_number) else None,
    }
    if one.block == "h":
        own = next(
            layer
            for layer in flow.layers
            if layer.name.split("[")[0] == one.name
            and (layer.layer, layer.direction) == (one.layer, one.direction)
        )
        measured = own.profile("h").mean
        content["measured"] = _numbers(measured)
        content["prediction"] = _numbers(one.prediction(_at_the_end(own.run), len(measured) - 1))
    return content


def _at_the_end(run: DirectionRun) -> Tensor:
    """Return (n, H): ∂L/∂h at the last step that is read of each sequence."""
    offsets = run.read.layout.offsets
    last = offsets[:-1] if run.read.reverse else offsets[1:] - 1
    return run.gradient(run.record.h).index_select(0, last[offsets.diff() > 0])


def _exponents(seen: Watch, count: int) -> list[dict[str, Any]]:
    if not count:
        return []
    try:
        found = lyapunov_exponents(seen, count=count)
    except ShapeError:
        return []  # no sequence of two steps
    return [
        {
            "name": one.name,
            "layer": one.layer,
            "direction": one.direction,
            "exponents": _numbers(one.exponents),
            "horizon": one.horizon if math.isfinite(one.horizon) else None,
        }
        for one in found
    ]


def _recency(scores: Influence) -> dict[str, Any]:
    profile = scores.recency()
    return {
        "distance": profile.distance[:MOST].tolist(),
        "mean": _numbers(profile.mean),
        "count": profile.count[:MOST].tolist(),
    }


def _examples(
    batch: Ragged,
    scores: Influence,
    runs: Sequence[DirectionRun],
    tokens: Sequence[Sequence[str]] | None,
    count: int,
) -> list[dict[str, Any]]:
    shown = []
    for b in [b for b in range(len(batch)) if int(batch.lengths[b])][:count]:
        words = None if tokens is None else list(tokens[b])
        if words is not None and len(words) != int(batch.lengths[b]):
            length = int(batch.lengths[b])
            raise ShapeError(f"sequence {b} has {length} tokens, and there are {len(words)} names for them")
        shown.append(
            {
                "tokens": words if words is not None else [str(t) for t in range(int(batch.lengths[b]))],
                "influence": _numbers(scores.scores[b]),
                "gates": {_title(run): _gates(run, b) for run in runs if run.spec.gate_names},
            }
        )
    return shown


def _title(run: DirectionRun) -> str:
    return run.name + (", from the end" if run.direction else "")


def _gates(run: DirectionRun, b: int) -> dict[str, list[float | None]]:
    """Return the mean of each gate over units at every step of one sequence."""
    offsets = run.read.layout.host_offsets
    rows = run.gates[int(offsets[b]) : int(offsets[b + 1])]
    return {
        name: _numbers(rows[:, place].mean(1))
        for place, name in enumerate(run.spec.gate_names)
        if name != "candidate"
    }
