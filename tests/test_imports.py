"""Rules of imports that import-linter cannot express."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import throughtime

ROOT = Path(throughtime.__file__).parent


def imports_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of everything that a file imports from the package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "." * node.level
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def private_imports(source: str, package: str) -> Iterator[str]:
    """Yield each import of a private name by a file that is not in the package which holds the name."""
    for line, name in imports_of(source):
        parts = name.split(".")
        if parts[0] != "throughtime":
            continue
        private = next((place for place, part in enumerate(parts) if part.startswith("_")), None)
        if private is None:
            continue
        owner = ".".join(parts[:private])
        if package != owner and not package.startswith(owner + "."):
            yield f"line {line} imports {name}, which is private to {owner}"


FILES = sorted(ROOT.rglob("*.py"))


def test_private_names_are_not_imported_across_packages() -> None:
    for path in FILES:
        package = ".".join(("throughtime", *path.parent.relative_to(ROOT).parts))
        assert not list(private_imports(path.read_text(), package)), path


def test_nothing_of_the_root_is_imported_but_its_packages() -> None:
    packages = {f"throughtime.{entry.stem}" for entry in ROOT.iterdir()} | {"throughtime._native"}
    for path in FILES:
        names = {name for _, name in imports_of(path.read_text())}
        assert {name for name in names if re.fullmatch(r"throughtime(\.\w+)?", name)} <= packages, path


@pytest.mark.parametrize(
    "source",
    [
        "from throughtime.nn.recurrent._context import checked_context",
        "from throughtime.nn.recurrent import _context",
        "import throughtime.nn.recurrent._context",
        "from throughtime.nn.recurrent.layer import _to",
    ],
)
def test_a_private_import_is_found(source: str) -> None:
    assert list(private_imports(source, "throughtime.bptt"))
    assert list(private_imports(source, "throughtime.nn"))


def test_a_private_import_within_its_package_is_allowed() -> None:
    source = "from throughtime.nn.recurrent._context import checked_context"
    assert not list(private_imports(source, "throughtime.nn.recurrent"))
