"""The commands ``logs``; the options of ``logs train`` are those of the log and of its model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from throughtime._importing import stopping_at_once
from throughtime._options import DeclaredOption
from throughtime.cli._commands import Command, Group
from throughtime.cli._generated import Panel, with_options

_Paths = Annotated[
    list[Path], typer.Argument(help="Log files (plain, gzip, bzip2 or xz), or folders of them.")
]
_Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="REGEX", help="Ignore records that match this pattern. May be repeated."),
]
_Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Number of threads. Default: that of torch.", min=1)
]

TITLES = {"sessions": "Sessions", "drain": "Templates", "reading": "Files and inputs"}


class _Commands(Group):
    """The commands; the options of ``train`` are only assembled when it is invoked."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the name, the command, and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, full_train_command() if name == "train" else command, rest


app = typer.Typer(
    cls=_Commands,
    help="Find unusual lines in log files, without labels.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def panels() -> Iterator[Panel]:
    """Yield the options of ``logs train``."""
    from throughtime.learn.recipe import group_options
    from throughtime.logs.options import declared_options
    from throughtime.models import model_options

    for group, options in declared_options().items():
        yield Panel(TITLES[group], options)
    split = {
        name: option for name, option in group_options("split").items() if name in ("validation", "test")
    }
    held_out = "Fraction of the sessions held out for the p-values of logs scan."
    split["test"] = replace(split["test"], meaning=replace(split["test"].meaning, help=held_out))
    yield Panel("Parts", _with_defaults(split))
    yield Panel("Training", _with_defaults(_training_options()))
    yield Panel("Model", _with_defaults(model_options("language")))


def _training_options() -> dict[str, DeclaredOption]:
    from throughtime.learn.recipe import group_options

    options = {name: option for name, option in group_options("optimizer").items() if name != "budget"}
    meaning = options["epochs"].meaning
    default = "Maximum number of epochs. Default: 40, more for small logs, fewer for large ones."
    options["epochs"] = replace(options["epochs"], meaning=replace(meaning, help=default))
    return {**options, "tokens_per_batch": group_options("batches")["tokens_per_batch"]}


def _with_defaults(options: Mapping[str, DeclaredOption]) -> dict[str, DeclaredOption]:
    """Return options with the defaults of models of logs."""
    from throughtime.logs.training import MODEL

    return {
        name: replace(option, default=MODEL.get(name, option.default)) for name, option in options.items()
    }


def _train(
    logs: _Paths,
    out: Annotated[Path, typer.Option(help="Folder of the run. Must not exist, unless --resume is given.")],
    ignore: _Ignore = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run to start from: its weights, templates, and options of logs and model are used.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the interrupted run in --out, on the same files and with its options. The result "
            "is the same as without the interruption.",
        ),
    ] = False,
    threads: _Threads = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="cpu or cuda. Default: cuda if there is one.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Train a model of the normal sessions of logs.

    Finds the templates of the lines, trains a language model on the sessions, which are assumed to be normal,
    and learns the usual gaps in time and parameters of each template.
    """
    with stopping_at_once():
        from throughtime.cli._logs import TrainLogs
    TrainLogs(logs, out, options, tuple(ignore or ()), start, resume, threads, device, quiet).run()


def full_train_command() -> Any:
    """Return ``train`` with all options."""
    command = with_options(_train, panels())
    command.__name__ = "train"
    parser = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    parser.command(name="train", cls=Command)(command)
    return typer.main.get_command(parser)


@app.command()
def train() -> None:
    """Train a model of the normal sessions of logs."""


@app.command(cls=Command)
def scan(
    run: Annotated[Path, typer.Argument(help="Folder of a run of logs train.")],
    logs: Annotated[
        list[str],
        typer.Argument(help="Log files or folders of them, or - for the standard input."),
    ],
    false_alarms: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Fraction of normal sessions that may be reported. Default: 0.01, or more if fewer than 99 "
            "sessions were held out.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    ignore: _Ignore = None,
    frequency: Annotated[
        bool,
        typer.Option(
            "--frequency/--no-frequency",
            help="Raise the score of sessions if sessions with the same templates are significantly more "
            "frequent than in training. Not with --follow.",
        ),
    ] = True,
    top: Annotated[int, typer.Option(metavar="N", help="Maximum number of sessions to show.", min=1)] = 10,
    lines: Annotated[int, typer.Option(metavar="N", help="Maximum number of lines per session.", min=1)] = 3,
    format_: Annotated[
        Literal["table", "jsonl", "sarif", "junit"], typer.Option("--format", help="Format of the result.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="File of the result. Default: standard output.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="HTML page to write: surprise over time, top sessions, templates."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Read lines as they are written, across rotation. Writes a result for each line when it "
            "arrives and for each session when it ends; as a table, only for those that are reported.",
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="With --follow: file for the position in the logs, from which the next run continues. With "
            "--out, no line is lost or repeated, even if the process is killed."
        ),
    ] = None,
    silence: Annotated[
        str,
        typer.Option(metavar="TIME", help="With --follow: time without a record after which a session ends."),
    ] = "60s",
    stop_after: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="With --follow: stop after this time without a line. Default: never."
        ),
    ] = None,
    threads: _Threads = None,
) -> None:
    """Rank the sessions and lines of logs by surprise.

    The exit status is 1 if a session is reported, 0 if none is, and 2 after an error.
    """
    if follow:
        if report is not None:
            raise typer.BadParameter("--report cannot be combined with --follow; leave out one of them")
        with stopping_at_once():
            from throughtime.cli._follow_logs import FollowLogs
        command = FollowLogs(
            run, logs, false_alarms, tuple(ignore or ()), format_, out, state, silence, stop_after, threads
        )
        command.run()
        return
    if state is not None or stop_after is not None:
        raise typer.BadParameter("--state and --stop-after need --follow")
    with stopping_at_once():
        from throughtime.cli._logs import ScanLogs
    command_of_files = ScanLogs(
        run, logs, false_alarms, tuple(ignore or ()), frequency, top, lines, format_, out, report, threads
    )
    command_of_files.run()


@app.command(cls=Command)
def diff(
    before: Annotated[Path, typer.Argument(help="Log file or folder of them.")],
    after: Annotated[Path, typer.Argument(help="Log file or folder of them, to compare with the first.")],
    ignore: _Ignore = None,
    encoding: Annotated[str, typer.Option(help="Character encoding.")] = "utf-8",
    format_: Annotated[
        Literal["table", "jsonl"], typer.Option("--format", help="Format of the result.")
    ] = "table",
) -> None:
    """Show the templates that are new, gone, or more or less frequent in a second log.

    The exit status is 1 if there are any, 0 if there are none, and 2 after an error.
    """
    with stopping_at_once():
        from throughtime.cli._logs import DiffLogs
    DiffLogs(before, after, tuple(ignore or ()), encoding, format_).run()
