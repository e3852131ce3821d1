"""The command ``throughtime``; this file only starts it and turns errors into one line and an exit code."""

import sys

USAGE_ERROR = 2
"""Exit code of every error that the user can mend."""


def main() -> None:
    """Run the command line."""
    try:
        from throughtime.cli._app import app
    except ModuleNotFoundError as error:
        _fail(f"the command line needs {error.name}: pip install 'throughtime[learn]'")
    from throughtime.errors import ThroughtimeError

    try:
        app()
    except (ThroughtimeError, OSError, ModuleNotFoundError) as error:
        _fail(str(error))


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201 - the command line's voice
    raise SystemExit(USAGE_ERROR)
