"""Command classes whose help fits 80 columns and that print one line after Ctrl-C."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from throughtime._importing import INTERRUPTED, say_stopped


class Command(TyperCommand):
    """A command whose ``rich_help_panel`` sections are plain text.

    Typer draws the panels as tables, which truncate option names in a narrow terminal.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for the arguments, one for the options, and one for each panel."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or default
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class Group(TyperGroup):
    """A group of commands that report when Ctrl-C has stopped them."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the arguments."""
        with _saying_stopped():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _saying_stopped():
            return super().invoke(ctx)


@contextmanager
def _saying_stopped() -> Iterator[None]:
    """Print one line at Ctrl-C, where Typer prints nothing or an error."""
    try:
        yield
    except KeyboardInterrupt:
        say_stopped()
        raise typer.Exit(INTERRUPTED) from None
