"""The API reference: a page for each package and public name, as sources of Sphinx in `docs/api`."""

import re
from collections.abc import Callable, Iterator, Mapping
from inspect import getdoc, getmembers, isclass, isfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from site_tools.constants import documentation_of
from site_tools.public import by_package, value

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SUMMARIES = {
    "throughtime": "Batches, training from raw data, and estimators in scikit-learn's conventions",
    "throughtime.nn": "Layers",
    "throughtime.nn.functional": "Textbook convolution and its matrix",
    "throughtime.nn.init": "Initialisation of recurrent layers",
    "throughtime.nn.description": "What a layer states about itself",
    "throughtime.models": "Models by name",
    "throughtime.diagnose": "Gradients, spectra, influence, findings",
    "throughtime.bptt": "Backpropagation through time",
    "throughtime.convert": "Weights to and from torch, Keras and ONNX",
    "throughtime.export": "Export to ONNX",
    "throughtime.quantized": "Layers with int8 weights",
    "throughtime.errors": "Errors",
    "throughtime.tasks": "Tasks, their metrics and predictions",
    "throughtime.training": "Training loops and run folders",
    "throughtime.training.callbacks": "Callbacks of Lightning trainers",
    "throughtime.report": "Pages of results",
}
"""What each package holds, in a few words."""
SENTENCE = re.compile(r"(?<=\.)\s")


def setup(app: "Sphinx") -> dict[str, bool]:
    """Write the pages before Sphinx looks for sources."""
    if app.srcdir == app.confdir:  # not for the small sites of the tests
        app.connect("config-inited", lambda app, _: write(Path(app.srcdir) / "api"))
    return {"parallel_read_safe": True}


def write(folder: Path) -> None:
    """Write the pages of all names, change no file that is right already, and delete the others."""
    folder.mkdir(exist_ok=True)
    written = dict(pages())
    for path in folder.iterdir():
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def page_of(package: str, name: str) -> str:
    """Return the name of a page; `spectrum` and `Spectrum` are one file where case does not count."""
    names = [other.lower() for other in by_package()[package]]
    is_second = names.count(name.lower()) > 1 and name.islower()
    return f"{package}.{name}" + "-function" * is_second


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of every page."""
    packages = by_package()
    yield "index.rst", _index(packages)
    for package, names in packages.items():
        yield f"{package}.rst", _package_page(package, names)
        for name in names:
            yield f"{page_of(package, name)}.rst", _name_page(package, name)


def _index(packages: dict[str, tuple[str, ...]]) -> str:
    parts = [
        _title("API reference"),
        "Every public name, with its signature, shapes, errors and an example.\n",
    ]
    for package, names in packages.items():
        parts += [_title(package, "-"), f":doc:`{SUMMARIES[package]} <{package}>`\n", _table(package, names)]
    return "\n".join(
        [*parts, ".. toctree::", "   :hidden:\n", *(f"   {package}" for package in packages), ""]
    )


def _package_page(package: str, names: tuple[str, ...]) -> str:
    kinds: dict[str, Callable[[Any], bool]] = {
        "Classes": isclass,
        "Functions": isfunction,
        "Constants": lambda found: not callable(found),
    }
    tables = []
    for heading, is_kind in kinds.items():
        chosen = tuple(name for name in names if is_kind(value(package, name)))
        tables += [_title(heading, "-"), _table(package, chosen)] * bool(chosen)
    return "\n".join([_title(package), f".. py:module:: {package}\n", f"{SUMMARIES[package]}.\n", *tables])


def _table(package: str, names: tuple[str, ...]) -> str:
    head = f".. py:currentmodule:: {package}\n\n.. list-table::\n   :class: names\n   :widths: auto\n"
    links = {name: f":doc:`{name} <{page_of(package, name)}>`" for name in names}
    rows = [f"   * - {link}\n     - {summary(package, name)}" for name, link in links.items()]
    return "\n".join([head, *rows, ""])


def summary(package: str, name: str) -> str:
    """Return the first sentence of the documentation of a name; a colon before an equation ends it, too."""
    found = value(package, name)
    text = (getdoc(found) or "") if callable(found) else documentation_of(package, found)
    return SENTENCE.split(text.partition("\n\n")[0].replace("\n", " "))[0].rstrip(":.") + "."


def _name_page(package: str, name: str) -> str:
    found = value(package, name)
    head = [":orphan:\n", _title(name), f":doc:`{package} <{package}>`\n", f".. currentmodule:: {package}\n"]
    if isclass(found):
        members = _indent(f":members: {', '.join(_members(found))}\n") if _members(found) else ""
        return "\n".join([*head, f".. autoclass:: {name}", members, ""])
    if isfunction(found):
        return "\n".join([*head, f".. autofunction:: {name}", ""])
    keys = ", ".join(f"``{key}``" for key in found) if isinstance(found, Mapping) else f"``{found!r}``"
    return "\n".join(
        [*head, f".. py:data:: {name}\n", _indent(f"{documentation_of(package, found)}\n\n{keys}"), ""]
    )


def _members(found: type) -> list[str]:
    """Return the public methods and properties that this package defines."""
    ours = [base for base in found.__mro__ if base.__module__.startswith("throughtime")]
    defined = {name: member for base in reversed(ours) for name, member in vars(base).items()}
    is_method = {name for name, member in getmembers(found, callable) if not isclass(member)}
    methods = [name for name, member in defined.items() if name in is_method or isinstance(member, property)]
    return sorted(name for name in methods if not name.startswith("_") and _is_ours(defined[name]))


def _is_ours(member: Any) -> bool:
    function = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
    return bool(str(getattr(function, "__module__", "")).startswith("throughtime") and function.__doc__)


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def _indent(text: str) -> str:
    return "\n".join("   " + line for line in text.splitlines())
