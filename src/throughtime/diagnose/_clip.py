"""`AdaptiveClip`: clipping at a percentile of the gradient norms so far (AutoClip)."""

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, NotFiniteError, ShapeError


@dataclass(frozen=True)
class ClipEvent:
    """One step: the norm before clipping, the threshold, and whether the gradient was scaled down."""

    norm: float
    threshold: float
    clipped: bool


class AdaptiveClip:
    r"""Clip the gradient norm at a percentile of all norms so far.

    With g the gradient of all parameters and θ the percentile of the norms up to this step, g becomes
    g · min(1, θ / ‖g‖). The threshold adapts to the scale of the loss.

    Parameters
    ----------
    percentile
        p, between 0 and 100; the paper uses 10.

    References
    ----------
    .. [1] P. Seetharaman, G. Wichern, B. Pardo and J. Le Roux, "AutoClip: adaptive gradient clipping for
       source separation networks", MLSP (2020).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer, clip = tt.nn.GRU(3, 5), tt.diagnose.AdaptiveClip()
    >>> for scale in (1.0, 1.0, 100.0):
    ...     layer.zero_grad()
    ...     (scale * layer(torch.ones(4, 3)).output.sum()).backward()
    ...     event = clip(layer.parameters())
    >>> event.clipped, round(event.norm / event.threshold)
    (True, 100)
    >>> len(clip.events)
    3
    """

    def __init__(self, percentile: float = 10.0) -> None:
        if not 0 <= percentile <= 100:
            raise ShapeError(f"AdaptiveClip: percentile must be between 0 and 100, got {percentile}")
        self.percentile = float(percentile)
        self.events: list[ClipEvent] = []
        self._sorted: list[float] = []

    def _threshold(self) -> float:
        """Return the percentile of the norms, by linear interpolation."""
        place = self.percentile / 100 * (len(self._sorted) - 1)
        low = int(place)
        high = min(low + 1, len(self._sorted) - 1)
        return self._sorted[low] + (self._sorted[high] - self._sorted[low]) * (place - low)

    def __call__(self, parameters: Iterable[Tensor]) -> ClipEvent:
        """Clip the gradients of these parameters; call it between ``backward()`` and ``optimizer.step()``.

        Raises
        ------
        NotFiniteError
            If the norm is infinite or NaN; gradients are not changed then.
        """
        trained = [parameter for parameter in parameters if parameter.grad is not None]
        norm = float(nn.utils.get_total_norm([parameter.grad for parameter in trained]))  # type: ignore[misc]
        if not math.isfinite(norm):
            raise NotFiniteError(
                f"AdaptiveClip: the norm of the gradients is {norm} at step {len(self.events)}; "
                "tt.diagnose.first_not_finite locates the first such number"
            )
        bisect.insort(self._sorted, norm)
        threshold = self._threshold()
        event = ClipEvent(norm, threshold, norm > threshold)
        if event.clipped:
            nn.utils.clip_grads_with_norm_(trained, threshold, trained[0].new_tensor(norm))
        self.events.append(event)
        return event

    def state_dict(self) -> dict[str, Any]:
        """Return the state; ``norms`` and ``thresholds`` are float64 tensors (steps,)."""
        return {
            "percentile": self.percentile,
            "norms": torch.tensor([event.norm for event in self.events], dtype=torch.float64),
            "thresholds": torch.tensor([event.threshold for event in self.events], dtype=torch.float64),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state returned by `state_dict`.

        Raises
        ------
        InputTypeError
            If it is not the state of an AdaptiveClip.
        """
        if not isinstance(state_dict, Mapping) or state_dict.keys() != {"percentile", "norms", "thresholds"}:
            raise InputTypeError("this is not the state_dict of an AdaptiveClip")
        norms, thresholds = state_dict["norms"], state_dict["thresholds"]
        if not _are_series(norms, thresholds):
            raise InputTypeError(
                "this is not the state_dict of an AdaptiveClip: norms and thresholds must be float64 tensors "
                "(steps,)"
            )
        self.percentile = float(state_dict["percentile"])
        pairs = zip(norms.tolist(), thresholds.tolist(), strict=True)
        self.events = [ClipEvent(norm, threshold, norm > threshold) for norm, threshold in pairs]
        self._sorted = sorted(event.norm for event in self.events)


def _are_series(norms: Any, thresholds: Any) -> bool:
    """Return whether these are two float64 tensors with one number per step."""
    if not isinstance(norms, Tensor) or not isinstance(thresholds, Tensor):
        return False
    return (
        norms.dtype == thresholds.dtype == torch.float64
        and norms.dim() == 1
        and norms.shape == thresholds.shape
    )
