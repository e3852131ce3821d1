"""The command ``train``; its options are those of `throughtime.learn.Recipe`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime._importing import stopping_at_once
from throughtime._options import DeclaredOption
from throughtime.cli._generated import Panel, with_options

TITLES = {
    "columns": "Columns",
    "split": "Parts",
    "inputs": "Sequences",
    "files": "Files and rows",
    "text_stream": "Texts of language models",
    "windows": "Truncated backpropagation (language and frames)",
    "batches": "Batches (all other tasks)",
    "optimizer": "Training",
}


def panels() -> Iterator[Panel]:
    """Yield the options of all groups, tasks and models."""
    from throughtime.learn.recipe import group_options, task_options
    from throughtime.models import all_options
    from throughtime.tasks import TASKS

    for group, title in TITLES.items():
        yield Panel(title, group_options(group))
    for name in TASKS:
        yield Panel(f"Task {name}", task_options(name))
    yield Panel(
        "Model (defaults depend on the model)",
        {name: _of_models(models) for name, models in all_options().items()},
    )


def _of_models(models: Mapping[str, DeclaredOption]) -> DeclaredOption:
    """Return an option that several models have, whose default is theirs."""
    option = next(iter(models.values()))
    text = f"{option.help} For {', '.join(models)}."
    return replace(option, default=None, meaning=replace(option.meaning, help=text))


def _train(
    data: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, JSON, JSONL, Parquet, Arrow, .ts, .npz or .npy file, or a folder with one "
            "subfolder per class; with --task language a text file, with --task frames .npz or .mat."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run. Must not exist, unless --resume is given.")],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="classification (default), multilabel, regression, tagging, anomaly, language or frames.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the model. Default: auto, a blend of several for classification, multilabel and "
            "regression, and one model for other tasks.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --out where it stopped, with the same result as without the "
            "interruption. Options that are not given keep the values of the run.",
        ),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Train N times, with seeds from --seed on, into subfolders of --out; print mean and "
            "deviation.",
            min=1,
        ),
    ] = 1,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Cross-validation: train N times, each time testing on a different N-th of the rows, into "
            "subfolders of --out; print mean and deviation. With --group, groups stay together.",
            min=2,
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Fit baselines to the same rows and compare with them.")
    ] = True,
    watch_every: Annotated[
        int,
        typer.Option(
            metavar="N", help="Record gradient norms over time every N training steps; 0 is off.", min=0
        ),
    ] = 0,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Number of threads. Default: that of torch.", min=1)
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu or cuda. Default: cuda if there is one.")
    ] = None,
    logger: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Also write metrics with a Lightning logger: tensorboard, csv or mlflow."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Train a model on a file or folder.

    Texts, lists of tokens or series are classified, labelled, tagged or regressed on; language models
    predict the next token. The columns text, tokens, series and label are used unless others are named.
    """
    with stopping_at_once():
        from throughtime.cli._train import TrainCommand
    TrainCommand(
        data=data,
        out=out,
        task=task,
        model=model,
        options=options,
        resume=resume,
        seeds=seeds,
        folds=folds,
        baselines=baselines,
        watch_every=watch_every,
        threads=threads,
        device=device,
        logger=logger,
        quiet=quiet,
    ).run()


def train_command() -> Any:
    """Return the command with all options."""
    command = with_options(_train, panels())
    command.__name__ = "train"
    return command
