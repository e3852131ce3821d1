"""`Finding`: a verdict in words with its measure; and the verdicts that one backward pass allows."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from throughtime.diagnose._flow import GradientFlow, LayerFlow

Severity = Literal["problem", "warning", "note"]

# Where the mean gradient has fallen to this share of its largest value, it counts as vanished.
VANISHED = 0.01
# A gradient that far back is that many times the one at the end: it counts as exploding.
EXPLODED = 100.0
# Share of units, over all steps, from which on a gate counts as stuck.
STUCK = 0.95


@dataclass(frozen=True)
class Finding:
    """One verdict.

    Parameters
    ----------
    code : str
        Its name, such as "vanishing".
    severity : "problem", "warning" or "note"
        How much it matters.
    where : str
        Layer and direction, or "the training".
    verdict : str
        What is the case.
    measured : dict of str to float
        What was measured.
    why, advice, source : str
        Why it matters, what to do, and where to read on.
    cost : str
        What it took beside the backward pass that was watched.
    about : "gradients" or "accuracy"
        Whether it is about how the model learns, or about what it has learned.
    """

    code: str
    severity: Severity
    where: str
    verdict: str
    measured: dict[str, float]
    why: str
    advice: str
    source: str
    cost: str = field(default="nothing: from the backward pass that was watched")
    about: Literal["gradients", "accuracy"] = "gradients"

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in self.measured.items())
        said = f"{self.severity}: {self.where}: {self.verdict} ({numbers})"
        return f"{said}. {self.why} {self.advice} [{self.source}]"


def effective_horizon(flow: LayerFlow) -> int | None:
    """Return after how many steps back the mean gradient of the state is below 1 % of its largest, or None.

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
    """Return every verdict that one watched backward pass allows, problems first.

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
    ['vanishing', 'out_of_reach']
    """
    found = [finding for layer in flow.layers for rule in _RULES for finding in rule(layer)]
    growing = {finding.where for finding in found if finding.code == "exploding"}
    # What falls below 1 % of an exploded gradient has not vanished.
    return in_order([one for one in found if one.where not in growing or one.code not in _OF_VANISHING])


def in_order(found: list[Finding]) -> tuple[Finding, ...]:
    """Sort by severity."""
    ranks = {"problem": 0, "warning": 1, "note": 2}
    return tuple(sorted(found, key=lambda finding: ranks[finding.severity]))


def _where(layer: LayerFlow) -> str:
    return f"{layer.name}, reading from the {'end' if layer.direction else 'start'}"


_OF_VANISHING = ("vanishing", "out_of_reach")
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
        {"share of steps": share},
        "One such number makes every weight NaN at the next update.",
        "Look where the first one is (first_not_finite), bound gradients inside the recurrence "
        "(layer.bound_gradients), or lower the learning rate.",
        _PASCANU,
    )


def _growth(mean: Tensor) -> float:
    """Return the factor per step back up to the largest mean gradient, by a line through its logarithm."""
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
        f"gradients grow on their way back, to {ratio:.3g} times those at the end of reading",
        {"factor per step": _growth(mean), "largest over last": ratio},
        "A few long sequences then decide on the update, and training jumps.",
        "Clip (by norm, or inside the recurrence with layer.bound_gradients), begin with orthogonal "
        "recurrent weights (tt.nn.init.orthogonal_), or use gates: LSTM or GRU.",
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
        f"gradients vanish within {n} steps: there they are below 1 % of their largest mean",
        {"steps": n, "longest sequence": longest, "share left at its start": last},
        "What lies further back than that hardly moves the weights.",
        "Where longer dependencies matter: an LSTM with a forget bias of 1 or more (tt.nn.init.forget_bias_, "
        "chrono_), orthogonal recurrent weights, a loss at more steps, or pooling over all of them.",
        "Y. Bengio et al., IEEE Transactions on Neural Networks 5, 1994",
    )


def _out_of_reach(layer: LayerFlow) -> Iterator[Finding]:
    n = effective_horizon(layer)
    lengths = layer.h.lengths.double()
    if n is None or not len(lengths):
        return
    share = float((lengths > n).double().mean())
    if share < 0.5:
        return
    yield Finding(
        "out_of_reach",
        "warning",
        _where(layer),
        f"{share:.0%} of the sequences are longer than the {n} steps that gradients reach",
        {"share": share, "steps": n, "median length": float(lengths.median())},
        "What this direction makes of the steps before is not learned.",
        "Shorten or window the sequences (tt.bptt.windows), "
        + ("" if layer.run.directions > 1 else "read in both directions, ")
        + "or let gradients reach further, see vanishing.",
        "S. Hochreiter and J. Schmidhuber, Neural Computation 9, 1997",
    )


def _stuck_gates(layer: LayerFlow) -> Iterator[Finding]:
    for gate, saturation in layer.saturation.items():
        for side, values in (("closed", saturation.closed.values), ("open", saturation.open.values)):
            share = float(values.mean()) if len(values) else 0.0
            meaning = layer.run.spec.stuck_gates.get((gate, side))
            if share < STUCK or meaning is None:
                continue
            yield Finding(
                "stuck_gate",
                "warning",
                _where(layer),
                f"the {gate} gate is {side} in {share:.0%} of all units and steps: {meaning}",
                {"share": share},
                "A saturated gate has no slope, so it does not learn to do otherwise.",
                "Look at its bias and at the size of the inputs; begin anew with smaller weights, or "
                "normalise what goes in.",
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
        f"the bound inside the recurrence acts at {always:.0%} of all steps",
        {"share of steps": always, "mean fraction clipped": float(clipped.mean())},
        "A bound that always acts replaces the gradient; one that never does is not needed."
        if always
        else "It costs time, and changes nothing.",
        "Choose a larger bound, or find out why gradients are so large."
        if always
        else "Leave it out, or watch it on other batches.",
        "A. Graves, arXiv:1308.0850, section 2.1",
    )


_RULES: tuple[Callable[[LayerFlow], Iterator[Finding]], ...] = (
    _not_finite,
    _exploding,
    _vanishing,
    _out_of_reach,
    _stuck_gates,
    _bounded,
)
