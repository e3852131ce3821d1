"""Every function of the package that reads a file is in the table of loaders, and the budget is enforced."""

import ast
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import throughtime
from throughtime.errors import DataError

from . import budget
from .budget import BudgetExceeded, outcome
from .table import LOADERS

ROOT = Path(throughtime.__file__).parent

READS = frozenset(
    [
        "GzipFile",
        "ParquetFile",
        "TextIOWrapper",
        "ZipFile",
        "decompress",
        "decompressobj",
        "from_file",
        "from_str",
        "frombuffer",
        "fromfile",
        "generate_tokens",
        "genfromtxt",
        "literal_eval",
        "load",
        "load_file",
        "loadmat",
        "loads",
        "loadtxt",
        "memmap",
        "memory_map",
        "open",
        "open_file",
        "open_stream",
        "read_bytes",
        "read_csv",
        "read_table",
        "read_text",
        "safe_open",
    ]
)
"""Calls of these names read or parse a file, or what a file may have held."""

NOT_FILES_OF_USERS = {
    "bench.machine._processor": "what the system says of itself",
    "bench.conv._processes.measure": "what the bench's own process prints",
    "bench.conv._worker.main": "the plan that the bench's own process is given",
    "bench.recurrent._train_once.peak_memory": "what the system says of itself",
    "cli._export_program._input": "the metadata that the exporter has just written",
    "cli._export_program.program": "the metadata that the exporter has just written",
    "data._unpack._limit_memory": "what the system says of the process",
    "data._unpack._read": "runs in the process that unpack starts",
    "data._unpack.main": "the command line that unpack gives it",
    "nn.recurrence._context_structure._parsed": "the structure of a context, as text in a graph",
    "ops.recurrent.spec._parsed": "the name of a cell",
    "serve.rows.parsed": "the body of a request; tests/serve sends damaged ones",
    "serve.served_run.LoadedRun.read": "the rows of a request; tests/serve sends damaged ones",
    "serve.sessions._begin_or_end": "the message of a stream; tests/serve sends damaged ones",
    "serve.websocket": "the message of a stream; tests/serve sends damaged ones",
    "training._lock._identity_of": "bytes that are compared, whatever they are",
    "training.callbacks.GradientRecorder._ends_in_newline": "the last byte of a file, whatever it is",
}


def _readers(path: Path) -> Iterator[str]:
    """Yield the functions of a module that call one of `READS`, or take standard input."""

    def visit(node: ast.AST, names: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = (*names, node.name)
        if (isinstance(node, ast.Call) and _reads(node)) or getattr(node, "attr", None) == "stdin":
            yield ".".join((*path.relative_to(ROOT).with_suffix("").parts, *names))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, names)

    yield from visit(ast.parse(path.read_text("utf-8")), ())


def _reads(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    owner = getattr(getattr(call.func, "value", None), "id", None)
    if name not in READS or (name == "open" and owner in {"Run", "cls", "os"}):
        return False
    first = call.args[0] if call.args else None
    writes = name == "open" and isinstance(first, ast.Constant) and str(first.value)[0] in "wxa"
    copies = name == "loads" and isinstance(first, ast.Call) and getattr(first.func, "attr", None) == "dumps"
    return not writes and not copies


def _called(tmp_path: Path) -> set[str]:
    """Return the functions of the package that run when the loaders read valid files."""
    found = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT)):
            module = Path(frame.f_code.co_filename).relative_to(ROOT).with_suffix("")
            function = frame.f_code.co_qualname.replace(".<locals>", "")
            found.add(".".join((*module.parts, function)))

    for number, loader in enumerate(LOADERS.values()):
        path = loader.write(tmp_path / str(number), loader.valid[0])
        sys.setprofile(note)
        try:
            loader.load(path)
        finally:
            sys.setprofile(None)
    return found


def test_every_reader_is_in_the_table(tmp_path: Path) -> None:
    readers = {name for path in sorted(ROOT.rglob("*.py")) for name in _readers(path)}
    assert not sorted(readers - _called(tmp_path) - NOT_FILES_OF_USERS.keys()), "add these to LOADERS"
    assert not NOT_FILES_OF_USERS.keys() - readers


def test_a_reader_that_takes_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.1)

    def endless() -> None:
        while True:
            pass

    def forever_interrupted() -> None:
        try:
            endless()
        except Exception as error:
            raise DataError("hidden") from error

    for load in (endless, forever_interrupted, lambda: np.ones(2**26)):
        with pytest.raises(BudgetExceeded):
            outcome(load)


def test_errors_of_ours_are_outcomes_and_others_are_not() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert isinstance(outcome(partial(fail, DataError("x"))), DataError)
    with pytest.raises(KeyError):
        outcome(partial(fail, KeyError("x")))
