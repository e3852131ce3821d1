"""The command ``throughtime``; this file only starts it and turns errors into one line and an exit code."""

import io
import sys
import warnings

from throughtime._importing import INTERRUPTED, say_stopped, stopping_at_once
from throughtime.data.printable import printable

USAGE_ERROR = 2
"""Exit code of every error that the user can correct."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # File names and texts may hold characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    before = warnings.formatwarning
    warnings.formatwarning = _warning  # type: ignore[assignment]  # only the first argument is named
    try:
        _run()
    except KeyboardInterrupt:
        say_stopped()
        raise SystemExit(INTERRUPTED) from None
    finally:
        warnings.formatwarning = before


def _run() -> None:
    try:
        with stopping_at_once():
            from throughtime.cli._app import app
    except ModuleNotFoundError as error:
        _fail(_lacking(error))
    from throughtime.errors import ThroughtimeError

    try:
        app()
    except ModuleNotFoundError as error:
        # Our own messages already say what to install; Python's do not.
        _fail(str(error) if "pip install" in str(error) else _lacking(error))
    except (ThroughtimeError, OSError) as error:
        _fail(str(error))


def _lacking(error: ModuleNotFoundError) -> str:
    return f"this command needs {error.name}; in a clone of throughtime: pip install '.[learn]'"


def _warning(message: Warning | str, *_: object) -> str:
    """Return a warning as one line, without the file and line that raised it."""
    return f"warning: {printable(' '.join(str(message).split()))}\n"


def _fail(message: str) -> None:
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201 - command output
    raise SystemExit(USAGE_ERROR)
