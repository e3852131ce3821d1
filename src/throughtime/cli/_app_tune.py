"""The command ``tune``; its options are those of ``train``."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime._importing import stopping_at_once
from throughtime.cli._app_train import panels
from throughtime.cli._generated import Panel, with_options


def _tune(
    data: Annotated[Path, typer.Argument(help="File or folder of any format that train reads.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the study and of the best run. Must not exist, unless --resume is given."
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="classification (default), multilabel, regression, tagging, anomaly, language or frames.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model. Default: several are tried.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Number of trials. Default: 20, or as many as --budget allows.", min=1
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Time of all trials and the best run, such as 90s, 30m or 2h."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the study in --out, with the same trials as without the interruption. Options "
            "that are not given keep the values of the study; --trials and --budget may be larger.",
        ),
    ] = False,
    baselines: Annotated[
        bool, typer.Option(help="Fit baselines to the same rows and compare the best run with them.")
    ] = True,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Number of threads. Default: that of torch.", min=1)
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu or cuda. Default: cuda if there is one.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Search for the best model and options.

    Optuna proposes the model and its sizes, dropout, learning rate and weight decay; options that are given
    are not searched. Trials are compared on validation, and only the best run is measured on the test part.
    """
    with stopping_at_once():
        from throughtime.cli._tune import TuneCommand
    TuneCommand(
        data=data,
        out=out,
        task=task,
        model=model,
        options=options,
        trials=trials,
        budget=budget,
        resume=resume,
        baselines=baselines,
        threads=threads,
        device=device,
        quiet=quiet,
    ).run()


def tune_command() -> Any:
    """Return the command with all options."""
    own = inspect.signature(_tune).parameters
    others = (
        Panel(title, {name: option for name, option in options.items() if name not in own})
        for title, options in panels()
    )
    command = with_options(_tune, others)
    command.__name__ = "tune"
    return command
