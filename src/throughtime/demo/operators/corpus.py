"""The source files of the data set: the standard library, and the packages that throughtime depends on.

Everything is found through the running interpreter, named without this machine's paths, and ordered by
name, so that equal versions give equal data.
"""

import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# graph_objs is plotly's generated code, one class a thousand times.
_LEFT_OUT = frozenset(
    [
        "test",
        "tests",
        "testing",
        "idlelib",
        "lib2to3",
        "turtledemo",
        "example",
        "examples",
        "benchmark",
        "benchmarks",
        "demos",
        "site-packages",
        "dist-packages",
        "__pycache__",
        "_vendor",
        "vendored",
        "graph_objs",
    ]
)


@dataclass(frozen=True)
class SourceFile:
    """A Python file and the name it is known by."""

    name: str
    path: Path


def installed_files() -> tuple[list[SourceFile], list[str]]:
    """Return the files of the standard library and of throughtime's own dependencies, by name.

    Returns
    -------
    files : list of SourceFile
        Tests, examples and vendored copies left out.
    packages : list of str
        What was found, as ``name version``, the interpreter first.
    """
    files, packages = standard_library()
    for distribution in _dependencies("throughtime"):
        found = list(_files_of(distribution))
        if found:
            files += found
            packages.append(f"{distribution.metadata['Name']} {distribution.version}")
    return sorted(files, key=lambda file: file.name), packages


def standard_library() -> tuple[list[SourceFile], list[str]]:
    """Return the files of the standard library alone, and the interpreter with its version."""
    files = sorted(_standard_library(), key=lambda file: file.name)
    return files, [f"{platform.python_implementation()} {platform.python_version()}"]


def _standard_library() -> Iterator[SourceFile]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in root.rglob("*.py"):
        relative = path.relative_to(root)
        if not _is_left_out(relative):
            yield SourceFile(f"python/{relative.as_posix()}", path)


def _files_of(distribution: metadata.Distribution) -> Iterator[SourceFile]:
    for file in distribution.files or []:
        if file.suffix == ".py" and ".." not in file.parts and not _is_left_out(Path(file)):
            path = Path(str(distribution.locate_file(file)))
            if path.is_file():
                yield SourceFile(Path(file).as_posix(), path)


def _is_left_out(relative: Path) -> bool:
    stem = relative.stem
    return (
        not _LEFT_OUT.isdisjoint(relative.parts[:-1])
        or stem.endswith(("_test", "_pb2"))
        or stem == "conftest"
        or stem.startswith("test_")
    )


def _dependencies(root: str) -> list[metadata.Distribution]:
    """Return the installed distributions that ``root`` needs, by name; extras of root itself included."""
    seen: dict[str, metadata.Distribution] = {}
    waiting = list(_requirements(root, extras=True))
    while waiting:
        name = waiting.pop()
        if name in seen or name == root:
            continue
        try:
            seen[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # optional, or for another platform
        waiting += _requirements(name, extras=False)
    return [seen[name] for name in sorted(seen)]


def _requirements(name: str, *, extras: bool) -> Iterator[str]:
    """Yield what a distribution requires here; with ``extras``, whatever option it belongs to."""
    for line in metadata.requires(name) or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or (extras and "extra" in str(marker)) or marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)
