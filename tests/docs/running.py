"""Run the examples of a page, one after another in one folder, and compare what they print."""

import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from itertools import pairwise
from pathlib import Path
from unittest import mock

from tests.docs.pages import Block, Page
from throughtime.cli import main

_PRINTED = re.compile(r"print\(.*\)\s+# (.*)")
_TERMINAL = {"COLUMNS": "100", "LINES": "50", "TERM": "dumb", "NO_COLOR": "1"}


class _Terminal(io.StringIO):
    """Output that a command writes as to a terminal: tables, not CSV."""

    def isatty(self) -> bool:
        return True


def run(page: Page, folder: Path) -> None:
    """Run the examples of a page in a folder, which is the current one."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block, following in pairwise([*page.blocks, Block("", "", 0)]):
        place = f"{page.name}:{block.line}"
        if block.file:
            (folder / block.file).write_text(block.text, "utf-8")
        elif block.language == "python":
            _compare(place, _expected(block, following), _printed(block.text, names))
        elif block.language == "console":
            _run_commands(place, block.text)


def _expected(block: Block, following: Block) -> str:
    comments = "\n".join(_PRINTED.findall(block.text))
    return following.text if following.language == "output" else comments


def _printed(code: str, names: dict[str, object]) -> str:
    with redirect_stdout(io.StringIO()) as output, warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):  # of other libraries
            warnings.simplefilter("default", category)
        exec(code, names)
    return output.getvalue()


def _compare(place: str, expected: str, printed: str) -> None:
    """Compare as doctest does, with `…` in the page for what differs between machines and times."""
    expected = expected.replace("…", "...")
    expected, printed = (text.rstrip("\n") + "\n" for text in (expected, printed))
    same = OutputChecker().check_output(expected, printed, ELLIPSIS | NORMALIZE_WHITESPACE)
    assert same, f"{place} shows\n{expected}\nand its example prints\n{printed}"


def _run_commands(place: str, text: str) -> None:
    """Run the lines that begin with a prompt; lines below a command are what it prints, if there are any."""
    for example in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = re.sub(r"\\\n\s*", "", example).partition("\n")
        printed = _output_of(f"{place} $ {command}", command)
        if expected.strip():
            _compare(f"{place} $ {command}", expected, printed)


def _output_of(place: str, command: str) -> str:
    words = shlex.split(command, comments=True)
    if set(words) & {"|", ">"} or words[0] not in ("throughtime", "python"):
        return _in_shell(place, command)
    with _as_terminal(words) as output:
        code = _run_python(words[1:]) if words[0] == "python" else _run_throughtime()
    assert not code, f"{place} ends with exit code {code}:\n{output.getvalue()}"
    return output.getvalue()


@contextmanager
def _as_terminal(words: list[str]):
    terminal = _Terminal()
    with (
        mock.patch.dict(os.environ, _TERMINAL),
        mock.patch.object(sys, "argv", words),
        redirect_stdout(terminal),
        redirect_stderr(terminal),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        yield terminal


def _run_throughtime() -> int | str | None:
    try:
        main()
    except SystemExit as end:
        return end.code
    return None


def _run_python(words: list[str]) -> None:
    with mock.patch.object(sys, "argv", words):
        runpy.run_path(words[0], run_name="__main__")


def _in_shell(place: str, command: str) -> str:
    """Run what has a pipe or another program in it, with `throughtime` as a shell function."""
    script = f'throughtime() {{ "{sys.executable}" -m throughtime "$@"; }}\n{command}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{place} ends with exit code {done.returncode}:\n{done.stderr}"
    return done.stdout
