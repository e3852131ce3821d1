"""Training with a Lightning trainer, from the beginning or resumed."""

import warnings
from contextlib import ExitStack

import pytorch_lightning as pl
import torch
from rich.console import Console

from throughtime.data.batches import derived_seed
from throughtime.data.examples import Source
from throughtime.errors import ThroughtimeError
from throughtime.training._gradient_file import NAME
from throughtime.training._how import Surroundings
from throughtime.training._lock import Hold
from throughtime.training._module import TrainingModule
from throughtime.training._progress import ProgressDisplay
from throughtime.training._run import Run
from throughtime.training._state import saved_state, unusable
from throughtime.training._surroundings import StopNow, StopRequest, quiet_lightning, reproducible
from throughtime.training._writer import RunWriter, SafetensorsIO, Stopped
from throughtime.training.callbacks import GradientRecorder
from throughtime.training.processes import on_this_machine, process, processes, wait_for_all


def train(source: Source, run: Run, hold: Hold, how: Surroundings) -> bool:
    """Train until the end or an interruption; save state, best weights and metrics to the run.

    Returns
    -------
    bool
        Whether the training is finished.
    """
    try:
        return _train(source, run, hold, how)
    except StopNow:
        return False


def _train(source: Source, run: Run, hold: Hold, how: Surroundings) -> bool:
    stop = StopRequest()
    with ExitStack() as stack:
        stack.enter_context(reproducible())
        stack.enter_context(quiet_lightning())
        stack.enter_context(stop.listening())
        state = saved_state(run)
        resumed, files = state is not None, SafetensorsIO(state)
        del state  # so that its memory, as for model and optimizer, is freed once Lightning has loaded it
        module = _module(source, run, how)
        if not process():
            _note_environment(run, begun=resumed)
        console = Console(quiet=not how.progress or process() > 0)
        display = ProgressDisplay(console, lines=how.progress != "line")
        stack.enter_context(display.showing())
        writer = RunWriter(run, stop, hold, resumable=how.resumable)
        callbacks: list[pl.Callback] = [display, writer]
        if how.watch_every:
            callbacks.append(GradientRecorder(run.path / NAME, how.watch_every))
        trainer = _trainer(run, [*callbacks, *how.callbacks], files, how)
        try:
            trainer.fit(module, ckpt_path=str(run.state_path) if resumed else None)
        except Stopped:
            finished = False
        except ThroughtimeError:
            raise
        except Exception as error:
            # Lightning raises various exceptions for an incomplete state.
            if not resumed or writer.began:
                raise
            raise unusable(run, f"{type(error).__name__}: {error}") from error
        else:
            finished = True
        if not run.has_model and not process():
            hold.require_there()
            run.save_model(module.model)
        wait_for_all()
    return finished


def _module(source: Source, run: Run, how: Surroundings) -> TrainingModule:
    config = run.config
    torch.manual_seed(derived_seed("weights", config.settings.seed))
    model = config.model.build(config.shape, config.task, run.factory)
    if how.prepare_model is not None:
        how.prepare_model(model)
    return TrainingModule(model, config.task, source, config.settings)


def _note_environment(run: Run, *, begun: bool) -> None:
    changed = run.note_environment(begun=begun)
    if changed:
        differences = ", ".join(f"{name} {was} instead of {now}" for name, (now, was) in changed.items())
        warnings.warn(
            f"{run.path} is resumed in another environment ({differences}): its weights may "
            "differ in the last bits from those of an uninterrupted training; recorded in environment.json",
            stacklevel=2,
        )


def _trainer(run: Run, callbacks: list[pl.Callback], files: SafetensorsIO, how: Surroundings) -> pl.Trainer:
    several = processes() > 1
    options = run.config.model.options
    # Clusters of an adaptive softmax without a token in the window have no gradient, unless weights are tied.
    unused = bool(options.get("cutoffs")) and not options.get("tied", True)
    return pl.Trainer(
        accelerator=how.accelerator(),
        devices=on_this_machine(),
        num_nodes=processes() // on_this_machine(),
        strategy=("ddp_find_unused_parameters_true" if unused else "ddp") if several else "auto",
        precision="bf16-mixed" if run.config.settings.precision == "bfloat16" else "32-true",
        max_epochs=run.config.settings.epochs,
        callbacks=callbacks,
        plugins=[files],
        default_root_dir=run.path,
        logger=how.lightning_logger(run.path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,  # the number of batches may differ between epochs
        use_distributed_sampler=False,
    )
