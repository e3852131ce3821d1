"""`blend_runs`: the models of finished runs as one, whose weights are chosen on validation."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from throughtime.data.examples import Source
from throughtime.learn.auto.weights import fitted_weights
from throughtime.models import Blend
from throughtime.tasks import SequenceTask, model_outputs
from throughtime.training import EpochMetrics, Metrics, ModelSpec, Run, Score

if TYPE_CHECKING:
    from torch import Tensor


def blend_runs(path: str | Path, runs: Sequence[Run], source: Source) -> Run:
    """Blend the models of finished runs, and write the blend as a run.

    The weights are those of `fitted_weights` on the validation examples. All models are kept, also one whose
    weight is 0.

    Parameters
    ----------
    path : path
        Folder of the new run; must be free.
    runs : sequence of Run
        Finished runs of one task, trained on this source.
    source : Source
        Whose validation and test examples are used.
    """
    first = runs[0].config
    task, validation = cast("SequenceTask", first.task), source.validation
    blend = Blend([[run.load_model()] for run in runs]).eval()
    outputs = [cast("Tensor", model_outputs(copies[0], validation)) for copies in blend.copies]
    weights = fitted_weights(task, outputs, validation.targets, validation.weights)
    blend.weights.copy_(weights)
    run = Run.create(
        path,
        source=source,
        task=task,
        model=ModelSpec.blend([(part.config.model, 1) for part in runs]),
        settings=first.settings,
        recipe=first.recipe,
        tokenizer_json=runs[0].tokenizer_json(),
    )
    run.save_model(blend)
    blended = blend.of_outputs(outputs)
    tuned = task.tuned(blend, blended, validation.targets)
    score = Score(*tuned.measure_with_intervals(blend, blended, validation.targets))
    test = None if source.test is None else Score(*tuned.assess(blend, source, source.test, first.settings))
    history = tuple(_as_epoch(number, part) for number, part in enumerate(runs, 1))
    run.save_metrics(Metrics(history, len(history), "epochs", score, test, tuned.to_json()))
    return run


def _as_epoch(number: int, run: Run) -> EpochMetrics:
    """Return the metrics of a run as those of an epoch: in a blend, models take the place of epochs."""
    metrics = run.metrics
    best = metrics.history[(metrics.best_epoch or 1) - 1]
    sums = {
        name: sum(getattr(epoch, name) for epoch in metrics.history)
        for name in ("steps", "tokens", "seconds")
    }
    return replace(best, epoch=number, **sums)
