"""Links from docstrings and signatures to public names, and to the documentation of torch, NumPy and others.

A reference that names no object at all is left unresolved, which a strict build reports.
"""

import builtins
from functools import cache
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

from site_tools.public import by_package, value
from site_tools.reference import page_of

PAGES = {
    "torch": "https://docs.pytorch.org/docs/stable/generated/{name}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{name}.html",
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{name}.html",
}
"""Where the documentation of other packages has its names; those of packages that are missing get no link."""
ALIASES = {
    "np": "numpy",
    "pa": "pyarrow",
    "pl": "pytorch_lightning",
    "F": "torch.nn.functional",
    "nn": "torch.nn",
    "ModelProto": "onnx.ModelProto",
}
"""Names that modules import for annotations alone."""
SPECIAL = {
    "torch.Tensor": "https://docs.pytorch.org/docs/stable/tensors.html",
    "torch.dtype": "https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.dtype",
    "torch.device": "https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.device",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Resolve what Sphinx cannot."""
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _resolve(
    app: Sphinx, _env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Node | None:
    if node.get("refdomain") != "py":
        return None
    target = _whole_name(node["reftarget"])
    scope = node.get("py:module") or ""
    found = _found(target, scope, node.get("py:class") or "")
    if found is None:
        return None
    owner, _, member = target.rpartition(".")
    if place := public_place(found) or _place_of_member(_found(owner, scope, ""), member):
        page, anchor = place
        return make_refnode(app.builder, node["refdoc"], f"api/{page}", anchor, content, anchor)
    return _external(target, content)


def _whole_name(target: str) -> str:
    first, dot, rest = target.partition(".")
    return ALIASES.get(first, first) + dot + rest


def _external(target: str, content: nodes.Element) -> nodes.Node:
    """Return a link if the package is known, else the text."""
    pattern = SPECIAL.get(target) or PAGES.get(target.partition(".")[0])
    if pattern is None:
        return content
    return nodes.reference("", "", content, refuri=pattern.format(name=target), internal=False)


def _found(target: str, scope: str, owner: str) -> Any:
    """Return the object that a reference names: a public name, or a path in this or another package."""
    short = target.removeprefix("tt.")
    for path in (target, f"throughtime.{short}", f"{scope}.{short}", f"{scope}.{owner}.{short}"):
        if (found := object_at(path)) is not None:
            return found
    candidates = [value(package, name) for package, name in _by_short_name().get(short, ())]
    return candidates[0] if candidates else getattr(builtins, target, None)


@cache
def _by_short_name() -> dict[str, list[tuple[str, str]]]:
    places: dict[str, list[tuple[str, str]]] = {}
    for package, names in by_package().items():
        for name in names:
            places.setdefault(name, []).append((package, name))
    return places


@cache
def object_at(path: str) -> Any:
    """Return the object at a dotted path, None if there is none."""
    parts = [part for part in path.split(".") if part]
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except (ImportError, ValueError):
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found
    return None


@cache
def _places() -> dict[int, tuple[str, str]]:
    return {
        id(value(package, name)): (page_of(package, name), f"{package}.{name}")
        for package, names in reversed(by_package().items())
        for name in names
    }


def _place_of_member(owner: Any, member: str) -> tuple[str, str] | None:
    """Return page and anchor of a method or property of a public class."""
    place = public_place(owner)
    return place and (place[0], f"{place[1]}.{member}")


def public_place(found: Any) -> tuple[str, str] | None:
    """Return page and anchor of a public name."""
    return _places().get(id(found))
