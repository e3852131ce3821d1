"""Runs the cells of a marimo notebook without marimo, from top to bottom, with chosen values of its controls.

`make test` does not install marimo. This stand-in has of it what the notebooks use: texts and layouts are passed
through, and controls have a value. `make test-lecture` runs the notebooks in marimo.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

Choice = Literal["default", "lowest", "highest"]


class Controls:
    """The controls of ``marimo.ui`` at their default, or at their lowest or highest value."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice

    def _chosen(self, default: Any, lowest: Any, highest: Any) -> SimpleNamespace:
        return SimpleNamespace(value={"default": default, "lowest": lowest, "highest": highest}[self.choice])

    def slider(
        self, start: float, stop: float, step: float = 1, *, value: float, **_: Any
    ) -> SimpleNamespace:
        assert start <= value <= stop
        return self._chosen(value, start, stop)

    def dropdown(self, options: Any, *, value: str, **_: Any) -> SimpleNamespace:
        options = options if isinstance(options, dict) else {name: name for name in options}
        values = list(options.values())
        return self._chosen(options[value], values[0], values[-1])

    def multiselect(self, options: list[str], *, value: list[str], **_: Any) -> SimpleNamespace:
        assert set(value) <= set(options)
        return self._chosen(value, [], options)

    def checkbox(self, *, value: bool, **_: Any) -> SimpleNamespace:
        return self._chosen(value, False, True)

    def text(self, value: str, **_: Any) -> SimpleNamespace:
        return self._chosen(value, "", f"{value} <b>unseen</b> " * 9)

    def array(self, controls: list[SimpleNamespace]) -> "Array":
        return Array(controls)

    def table(self, rows: list[dict[str, Any]], **_: Any) -> list[dict[str, Any]]:
        return rows


class Array(list[SimpleNamespace]):
    """Several controls with one value, the list of theirs."""

    @property
    def value(self) -> list[Any]:
        return [control.value for control in self]


def cells(notebook: Path) -> list[ast.FunctionDef]:
    """Return the functions of the cells, in their order."""
    tree = ast.parse(notebook.read_text("utf-8"))
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def run(notebook: Path, choice: Choice = "default") -> dict[str, Any]:
    """Run all cells, and return what they define.

    Cells run in one namespace in the order of the file; so one that reads what a later one defines fails.
    """
    names: dict[str, Any] = {"__name__": notebook.stem}
    with _imports(notebook.parent, choice):
        for cell in cells(notebook):
            body = [statement for statement in cell.body if not isinstance(statement, ast.Return)]
            code = compile(ast.Module(body, []), str(notebook), "exec")
            exec(code, names)
    return names


@contextmanager
def _imports(folder: Path, choice: Choice) -> Iterator[None]:
    """Let the cells import the stand-in as marimo, and the modules beside the notebook."""
    marimo = ModuleType("marimo")
    marimo.ui = Controls(choice)  # type: ignore[attr-defined]
    marimo.md = marimo.Html = str  # type: ignore[attr-defined]
    marimo.vstack = marimo.hstack = lambda items, **_: list(items)  # type: ignore[attr-defined]
    before = sys.modules.get("marimo")
    sys.modules["marimo"] = marimo
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("marimo")
        if before is not None:
            sys.modules["marimo"] = before
