"""The command ``serve``; its limits are those of `throughtime.serve.ServeOptions`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime._importing import stopping_at_once
from throughtime.cli._generated import Panel, with_options


def _serve(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, one or more.", metavar="RUN")],
    host: Annotated[
        str, typer.Option(help="Address to listen on. 0.0.0.0 accepts requests of other machines.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on. 0 takes a free one.", min=0, max=65535)
    ] = 8000,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Number of threads. Default: that of torch.", min=1)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Answer requests for predictions over HTTP.

    POST /predict takes rows as JSON, / shows the model and a form to try it, /metrics is for Prometheus.
    SIGHUP and POST /reload load the run anew; SIGTERM and Ctrl-C answer the accepted requests and stop.
    """
    with stopping_at_once():
        from throughtime.cli._serve import ServeCommand
    ServeCommand(runs, host, port, threads, options, quiet).run()


def serve_command() -> Any:
    """Return the command with all options."""
    try:
        from throughtime.serve import declared_options
    except ModuleNotFoundError as error:
        message = f"serving needs {error.name}; in a clone of throughtime: pip install '.[serve]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    command = with_options(_serve, [Panel("Limits and weights", declared_options())])
    command.__name__ = "serve"
    return command
