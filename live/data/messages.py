"""Error messages in the installed Python source, each with the exception that it is raised with.

Run as a script, it writes a CSV file with the columns ``message`` and ``exception``:
``python live/data/messages.py messages.csv``.
"""

import ast
import csv
import re
import sys
import sysconfig
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CLASSES = ("ValueError", "TypeError", "RuntimeError", "NotImplementedError")
"""The exceptions that are told apart; messages of others are not read."""
_FEWEST_WORDS = 3
_MOST_LINES = 8
_PLACEHOLDER = "…"
_RAISE = re.compile(rf"^[ \t]*raise (({'|'.join(CLASSES)})\()", re.MULTILINE)
_GENERATED = "graph_objs"
"""Folder of plotly whose thousands of classes share one message."""


def messages() -> list[tuple[str, str]]:
    """Return the different messages of the installed source, sorted, that have one exception only."""
    exceptions: dict[str, set[str]] = defaultdict(set)
    for file in _files():
        for message, exception in _raised(file):
            exceptions[message].add(exception)
    return sorted((message, *names) for message, names in exceptions.items() if len(names) == 1)


def _files() -> Iterator[Path]:
    for name in ("stdlib", "purelib"):
        files = sorted(Path(sysconfig.get_path(name)).rglob("*.py"))
        yield from (file for file in files if _GENERATED not in file.parts)


def _raised(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the messages of a file, whose statements are parsed one by one: most of it raises nothing."""
    source = file.read_text("utf-8", errors="ignore")
    for statement in _RAISE.finditer(source):
        call = _parsed(source[statement.start(1) :])
        if isinstance(call, ast.Call) and call.args:
            text = " ".join(_text(call.args[0]).split())
            if len(text.split()) >= _FEWEST_WORDS:
                yield text, statement[2]


def _parsed(source: str) -> ast.expr | None:
    """Return the expression at the start of a source, which may take several lines."""
    end = 0
    for _ in range(_MOST_LINES):
        end = source.find("\n", end) + 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in strings
                return ast.parse(source[: end - 1], mode="eval").body
        except (SyntaxError, ValueError):
            continue
    return None


def _text(node: ast.expr) -> str:
    """Return a message as it is written, with a placeholder for each value put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _PLACEHOLDER
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _text(node.left) + (_text(node.right) if isinstance(node.op, ast.Add) else "")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _text(node.func.value)
    return ""


if __name__ == "__main__":
    with Path(sys.argv[1]).open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["message", "exception"])
        writer.writerows(messages())
