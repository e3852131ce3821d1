"""Options of commands, generated from declared options: nothing is stated twice."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import typer

from throughtime._options import DeclaredOption


class Panel(NamedTuple):
    """Options of a command that its help shows together."""

    title: str
    options: Mapping[str, DeclaredOption]


def with_options(command: Callable[..., None], panels: Iterable[Panel]) -> Callable[..., None]:
    """Return a command whose parameter ``options`` is a mapping of the options that were given, as texts.

    Parameters
    ----------
    command : callable
        A Typer command; its parameter ``options`` receives texts, and truth values of flags, by name.
    panels : iterable of Panel
        The options; one that occurs twice is shown in the first panel.
    """
    declared: dict[str, tuple[str, DeclaredOption]] = {}
    for panel in panels:
        for name, option in panel.options.items():
            declared.setdefault(name, (panel.title, option))

    def run(**arguments: Any) -> None:
        values = {name: arguments.pop(_variable(name)) for name in declared}
        command(**arguments, options={name: value for name, value in values.items() if value is not None})

    signature = inspect.signature(command)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    added = [_parameter(name, title, option) for name, (title, option) in declared.items()]
    run.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *added)}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _variable(name: str) -> str:
    return f"option_{name}"


def _parameter(name: str, title: str, option: DeclaredOption) -> inspect.Parameter:
    """Return a parameter whose default, None, means that the option was not given."""
    flag = option.flag
    names = (f"{flag}/--no-{flag.removeprefix('--')}",) if _is_flag(option) else (flag,)
    info = typer.Option(
        *names,
        help=_help(option),
        metavar=None if _is_flag(option) else option.metavar,
        rich_help_panel=title,
        show_default=False,
    )
    kind = bool | None if _is_flag(option) else str | None
    return inspect.Parameter(
        _variable(name), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info]
    )


def _is_flag(option: DeclaredOption) -> bool:
    return option.kind in (bool, bool | None)


def _help(option: DeclaredOption) -> str:
    text = option.help
    if option.default is None or "efault:" in text or option.default == () or option.default is False:
        return text
    default = option.default
    if isinstance(default, tuple | list):
        shown = ",".join(map(str, default))
    elif option.kind is bool:
        shown = "on" if default else "off"
    else:
        shown = f"{default}"
    return f"{text}  [default: {shown}]"
