"""Whether a model beats a baseline, and what to try if not."""

from collections.abc import Mapping

from throughtime.tasks import METRICS, SequenceTask


def beats(model: Mapping[str, float], baseline: Mapping[str, float], metric: str) -> bool:
    """Return whether the metric of a model is better than that of a baseline."""
    return METRICS[metric].improves(model[metric], baseline[metric])


def advice(task: SequenceTask, model: str) -> list[str]:
    """Return what to try, most promising first."""
    del task
    return [f"another model than {model} (--model)", "more epochs (--epochs)", "more data"]
