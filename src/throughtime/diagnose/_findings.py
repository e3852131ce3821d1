"""`Finding`: a verdict with its measurements; and the findings of one backward pass."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from throughtime._fields import Number
from throughtime.diagnose._flow import GradientFlow, LayerFlow

Severity = Literal["problem", "warning", "note"]

# A mean gradient below this fraction of its largest value counts as vanished.
VANISHED = 0.01
# A mean gradient of this many times that at the end counts as exploding.
EXPLODED = 100.0
# A gate counts as stuck from this mean fraction of its units on.
STUCK = 0.95


@dataclass(frozen=True)
class Finding:
    """A verdict on a model, with its measurements and advice.

    Parameters
    ----------
    code : str
        Name of the rule, such as "vanishing".
    severity : "problem", "warning" or "note"
        How serious it is.
    where : str
        Layer and direction, or "the training".
    verdict : str
        What was found, in one sentence.
    measured : mapping of str to float
        The measurements behind it.
    why, advice, source : str
        Why it matters, what to do about it, and a reference.
    cost : str
        What the measurement costs beside the recorded backward pass.
    about : "gradients" or "accuracy"
        Whether it concerns how the model learns, or how well it performs.
    """

    code: str
    severity: Severity
    where: str
    verdict: str
    measured: Mapping[str, Number]
    why: str
    advice: str
    source: str
    cost: str = field(default="nothing: taken from the recorded backward pass")
    about: Literal["gradients", "accuracy"] = "gradients"

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in self.measured.items())
        verdict = f"{self.severity}: {self.where}: {self.verdict} ({numbers})"
        return f"{verdict}. {self.why} {self.advice} [{self.source}]"


def effective_horizon(flow: LayerFlow) -> int | None:
    """Return the number of steps back after which the mean gradient is below 1 % of its largest, or None.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.RNN(1, 1, nonlinearity="affine", bias=False)
    >>> with torch.no_grad():
    ...     _ = layer.weight_hh_l0.fill_(0.5)  # 0.5⁷ < 1 % < 0.5⁶
    >>> with tt.diagnose.watch(layer) as seen:
    ...     layer(torch.ones(20, 1)).output[-1].sum().backward()
    >>> tt.diagnose.effective_horizon(tt.diagnose.gradient_flow(seen)[0])
    7
    """
    mean = flow.profile("state").mean
    if not len(mean) or not bool(mean.isfinite().all()):
        return None
    largest = mean.cummax(0).values
    fallen = (mean < VANISHED * largest).nonzero()
    return int(fallen[0]) if len(fallen) else None


def findings_of_flow(flow: GradientFlow) -> tuple[Finding, ...]:
    """Return the findings of one recorded backward pass, problems first.

    Parameters
    ----------
    flow : GradientFlow
        From `gradient_flow`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.RNN(3, 8)
    >>> with torch.no_grad():
    ...     _ = layer.weight_hh_l0.mul_(0.3)
    >>> with tt.diagnose.watch(layer) as seen:
    ...     layer(torch.randn(60, 3)).output[-1].sum().backward()
    >>> [finding.code for finding in tt.diagnose.findings_of_flow(tt.diagnose.gradient_flow(seen))]
    ['vanishing', 'longer_than_horizon']
    """
    findings = [finding for layer in flow.layers for rule in _RULES for finding in rule(layer)]
    exploding = {finding.where for finding in findings if finding.code == "exploding"}
    # A gradient below 1 % of an exploded one has not vanished.
    return by_severity(f for f in findings if f.where not in exploding or f.code not in _OF_VANISHING)


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings: problems, warnings, notes."""
    ranks = {"problem": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda finding: ranks[finding.severity]))


def _where(layer: LayerFlow) -> str:
    return f"{layer.name}, reading from the {'end' if layer.direction else 'start'}"


_OF_VANISHING = ("vanishing", "longer_than_horizon")
_PASCANU = "R. Pascanu et al., ICML 2013, section 2"


def _not_finite(layer: LayerFlow) -> Iterator[Finding]:
    values = layer.state.values
    if not len(values) or bool(values.isfinite().all()):
        return
    share = float((~values.isfinite()).double().mean())
    yield Finding(
        "not_finite",
        "problem",
        _where(layer),
        "gradients are not finite",
        {"fraction of steps": share},
        "The next update turns every weight into NaN.",
        "Locate the first one (tt.diagnose.first_not_finite), bound gradients inside the recurrence "
        "(layer.bound_gradients), or lower the learning rate.",
        _PASCANU,
    )


def _growth(mean: Tensor) -> float:
    """Return the growth factor per step back, by a linear fit to the logarithm up to the maximum."""
    y = mean[: int(mean.argmax()) + 1].clamp_min(torch.finfo(torch.float64).tiny).log()
    x = torch.arange(len(y), dtype=y.dtype)
    x = x - x.mean()
    return math.exp(float((x * (y - y.mean())).sum() / (x * x).sum()))


def _exploding(layer: LayerFlow) -> Iterator[Finding]:
    mean = layer.profile("state").mean
    if len(mean) < 3 or not bool(mean.isfinite().all()) or not float(mean[0]) > 0:
        return
    ratio = float(mean.max() / mean[0])
    if ratio < EXPLODED:
        return
    yield Finding(
        "exploding",
        "problem",
        _where(layer),
        f"gradients explode: they grow to {ratio:.3g} times those at the last step read",
        {"growth per step back": _growth(mean), "largest over last": ratio},
        "A few long sequences dominate the update, so training is unstable.",
        "Clip gradients (by norm, or inside the recurrence with layer.bound_gradients), initialize the "
        "recurrent weights orthogonally (tt.nn.init.orthogonal_), or use LSTM or GRU.",
        _PASCANU,
    )


def _vanishing(layer: LayerFlow) -> Iterator[Finding]:
    n = effective_horizon(layer)
    if n is None:
        return
    profile = layer.profile("state")
    last = float(profile.mean[-1] / profile.mean.max())
    longest = len(profile.mean)
    yield Finding(
        "vanishing",
        "warning",
        _where(layer),
        f"gradients vanish within {n} steps: further back they are below 1 % of their largest mean",
        {"steps": n, "longest sequence": longest, "fraction left at its start": last},
        "Steps further back hardly contribute to the update of the weights.",
        "If longer dependencies matter, use an LSTM with a forget bias from 1 (tt.nn.init.forget_bias_, "
        "chrono_), orthogonal recurrent weights, a loss at more steps, or pooling over all steps.",
        "Y. Bengio et al., IEEE Transactions on Neural Networks 5, 1994",
    )


def _longer_than_horizon(layer: LayerFlow) -> Iterator[Finding]:
    n = effective_horizon(layer)
    lengths = layer.h.lengths.double()
    if n is None or not len(lengths):
        return
    share = float((lengths > n).double().mean())
    if share < 0.5:
        return
    yield Finding(
        "longer_than_horizon",
        "warning",
        _where(layer),
        f"{100 * share:.0f} % of the sequences are longer than the {n} steps that gradients flow back",
        {"fraction of sequences": share, "steps": n, "median length": float(lengths.median())},
        "This direction does not learn from the steps before these.",
        "Shorten the sequences or cut them into windows (tt.bptt.windows)"
        + (", " if layer.run.directions > 1 else ", use a bidirectional layer, ")
        + "or let gradients flow further; see the advice on vanishing gradients.",
        "S. Hochreiter and J. Schmidhuber, Neural Computation 9, 1997",
    )


def _stuck_gates(layer: LayerFlow) -> Iterator[Finding]:
    for gate, saturation in layer.saturation.items():
        for side, values in (("closed", saturation.closed.values), ("open", saturation.open.values)):
            share = float(values.mean()) if len(values) else 0.0
            meaning = layer.run.stuck_gates.get((gate, side))
            if share < STUCK or meaning is None:
                continue
            yield Finding(
                "stuck_gate",
                "warning",
                _where(layer),
                f"the {gate} gate is {side} in {100 * share:.0f} % of all units and steps: {meaning}",
                {"fraction of units and steps": share},
                "A saturated gate has a derivative near zero, so its weights hardly change.",
                "Check its bias and the scale of the inputs; normalize the inputs, or train again from "
                "smaller initial weights.",
                "A. Karpathy et al., arXiv:1506.02078, section 4.2",
            )


def _bounded(layer: LayerFlow) -> Iterator[Finding]:
    if layer.clipped_fraction is None or not len(layer.clipped_fraction.values):
        return
    clipped = layer.clipped_fraction.values
    always = float((clipped > 0).double().mean())
    if 0 < always < STUCK:
        return
    yield Finding(
        "bound_always" if always else "bound_never",
        "warning" if always else "note",
        _where(layer),
        f"bound_gradients clips the gradient at {100 * always:.0f} % of all steps",
        {"fraction of steps": always, "mean fraction clipped": float(clipped.mean())},
        "A bound that always clips sets the size of the gradient at every step."
        if always
        else "The bound costs time and changes nothing.",
        "Choose a larger bound, or find out why gradients are so large."
        if always
        else "Remove the bound, or check other batches.",
        "A. Graves, arXiv:1308.0850, section 2.1",
    )


_RULES: tuple[Callable[[LayerFlow], Iterator[Finding]], ...] = (
    _not_finite,
    _exploding,
    _vanishing,
    _longer_than_horizon,
    _stuck_gates,
    _bounded,
)
