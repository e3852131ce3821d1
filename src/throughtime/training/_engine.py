"""One sitting of a training in Lightning's loops. The only file that makes a Lightning trainer."""

from contextlib import ExitStack

import pytorch_lightning as pl
import torch
from rich.console import Console

from throughtime.data.batches import derived_seed
from throughtime.data.examples import Source
from throughtime.training._gradient_file import NAME
from throughtime.training._module import TrainingModule
from throughtime.training._progress import ProgressDisplay
from throughtime.training._run import Run
from throughtime.training._surroundings import StopNow, StopRequest, quiet_lightning, reproducible
from throughtime.training._writer import RunWriter, SafetensorsIO, Stopped
from throughtime.training.callbacks import GradientRecorder


def train(source: Source, run: Run, *, progress: bool, watch_every: int = 0) -> bool:
    """Train until the end or an interruption; state, best weights and figures go into the run.

    Returns
    -------
    bool
        Whether the training came to its end.
    """
    try:
        return _train(source, run, progress=progress, watch_every=watch_every)
    except StopNow:
        return False


def _train(source: Source, run: Run, *, progress: bool, watch_every: int) -> bool:
    stop = StopRequest()
    with ExitStack() as stack:
        stack.enter_context(reproducible())
        stack.enter_context(quiet_lightning())
        stack.enter_context(stop.listening())
        module = _module(source, run)
        display = ProgressDisplay(Console(quiet=not progress))
        stack.enter_context(display.showing())
        callbacks: list[pl.Callback] = [display, RunWriter(run, stop)]
        if watch_every:
            callbacks.append(GradientRecorder(run.path / NAME, watch_every))
        trainer = _trainer(run, callbacks)
        state = str(run.state_path) if run.state_path.exists() else None
        try:
            trainer.fit(module, ckpt_path=state)
        except Stopped:
            ended = False
        else:
            ended = True
        if not run.has_model:
            run.save_model(module.model)
    return ended


def _module(source: Source, run: Run) -> TrainingModule:
    config = run.config
    torch.manual_seed(derived_seed("weights", config.settings.seed))
    model = config.model.build(config.vocabulary_size, len(config.classes))
    return TrainingModule(model, source, config.settings)


def _trainer(run: Run, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        max_epochs=run.config.settings.epochs,
        callbacks=callbacks,
        plugins=[SafetensorsIO()],
        default_root_dir=run.path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,  # an epoch may have another number of batches
        use_distributed_sampler=False,
    )
