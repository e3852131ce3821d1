"""Learning curves from the history of a training."""

from collections.abc import Mapping, Sequence

from throughtime.report._content import Curve
from throughtime.training import EpochMetrics


def curve_of(name: str, history: Sequence[EpochMetrics]) -> Curve:
    """Return the learning curves of a training: every metric that all its epochs have.

    Examples
    --------
    >>> epoch = EpochMetrics(1, 9, {"loss": 0.7}, {"loss": 0.6, "r2": 0.2}, 0.01, 99, 1.0)
    >>> curve_of("GRU", [epoch])
    Curve(name='GRU', train={'loss': [0.7]}, validation={'loss': [0.6], 'r2': [0.2]})
    """
    train, validation = [epoch.train for epoch in history], [epoch.validation for epoch in history]
    return Curve(name, _by_metric(train), _by_metric(validation))


def _by_metric(epochs: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = epochs[0] if epochs else ()
    common = [name for name in names if all(name in epoch for epoch in epochs)]
    return {name: [epoch[name] for epoch in epochs] for name in common}
