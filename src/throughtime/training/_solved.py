"""Training of models whose weights a solver computes from all examples at once, without steps or epochs."""

import time
from collections.abc import Mapping

import torch
from rich.console import Console
from torch import nn

from throughtime.baselines import solve
from throughtime.data.batches import derived_seed
from throughtime.data.examples import Examples, Source
from throughtime.data.stored_examples import AnyExamples
from throughtime.errors import RunError, UnsupportedError
from throughtime.models.solved import SolvedModel
from throughtime.tasks import SequenceTask
from throughtime.training._how import Surroundings
from throughtime.training._lock import Hold
from throughtime.training._metrics import EpochMetrics, Metrics
from throughtime.training._progress import epoch_header, epoch_line
from throughtime.training._run import Run
from throughtime.training._settings import ModelSpec
from throughtime.training._surroundings import reproducible
from throughtime.training.processes import process


def solve_run(source: Source, run: Run, hold: Hold, how: Surroundings) -> bool:
    """Solve for the weights of a run's model, in one process of several; save weights and metrics.

    Returns
    -------
    bool
        True: the training is finished.

    Raises
    ------
    UnsupportedError
        If gradients, a logger or a device are asked for, or the task has no solver.
    """
    _require_no_steps(run.config.model, how)
    if process() or run.metrics.history:
        return True
    config, begun = run.config, time.perf_counter()
    if not isinstance(config.task, SequenceTask):
        raise RunError(f"{config.model.name} is not for task {config.task.name!r}; choose another model")
    run.note_environment(begun=False)
    training = _loaded(source.training(0))
    config.task.require_usable(training, "training examples")
    with reproducible():
        torch.manual_seed(derived_seed("weights", config.settings.seed))
        model = config.model.build(config.shape, config.task)
        if how.prepare_model is not None:
            how.prepare_model(model)
        if isinstance(model, SolvedModel):
            solve(model, config.task, training, _loaded(source.validation))
    seconds = time.perf_counter() - begun
    epoch = _measured(model.eval(), run, source, training, seconds)
    hold.require_there()
    run.save_model(model)
    run.save_metrics(Metrics((epoch,), best_epoch=1))
    _show(run, epoch, how)
    return True


def _require_no_steps(spec: ModelSpec, how: Surroundings) -> None:
    asked = {
        "watch_every": how.watch_every > 0,
        "logger": how.logger is not None,
        "device": how.device not in {None, "cpu"},
    }
    for name, given in asked.items():
        if given:
            raise UnsupportedError(
                f"{name} has no effect on {spec.name}, whose weights are solved for on the CPU, without "
                "training steps; leave it out"
            )


def _loaded(examples: AnyExamples) -> Examples:
    """Return examples in memory."""
    return examples if isinstance(examples, Examples) else examples.select(torch.arange(len(examples)))


def _measured(model: nn.Module, run: Run, source: Source, training: Examples, seconds: float) -> EpochMetrics:
    """Return the metrics of the fitted model as those of one epoch."""
    task, settings = run.config.task, run.config.settings
    shown = {*task.shown, settings.monitored(task)}

    def of(part: Examples) -> Mapping[str, float]:
        figures, _ = task.evaluate(model, source, part, settings)
        return {name: value for name, value in figures.items() if name in shown}

    return EpochMetrics(
        epoch=1,
        steps=1,
        train=of(training),
        validation=of(source.validation),
        learning_rate=0.0,
        tokens=training.inputs.layout.total,
        seconds=seconds,
    )


def _show(run: Run, epoch: EpochMetrics, how: Surroundings) -> None:
    """Print the line of the one epoch."""
    console, task = Console(quiet=not how.progress), run.config.task
    console.print(epoch_header(task, 1), highlight=False, soft_wrap=True)
    console.print(epoch_line(task, epoch, 1, best=True), highlight=False, soft_wrap=True)
