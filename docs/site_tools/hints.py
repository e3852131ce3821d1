"""Signatures that read well: no options of the command line, no addresses of default objects."""

import re
from contextlib import suppress
from typing import Any, get_type_hints

from sphinx.application import Sphinx

_OBJECT = re.compile(r"=\s?<[^<>]+>")


def setup(app: Sphinx) -> dict[str, bool]:
    """Simplify hints before a signature is written, and its defaults afterwards."""
    app.connect("autodoc-before-process-signature", _simplify_hints)
    app.connect("autodoc-process-signature", _simplify_defaults)
    return {"parallel_read_safe": True}


def _simplify_hints(app: Sphinx, found: Any, bound_method: bool) -> None:  # noqa: ARG001, FBT001 - Sphinx's signature
    """Replace `Annotated[int, …]` by `int`; hints that name imports for type checkers alone stay text."""
    if getattr(found, "__annotations__", None):
        with suppress(NameError, AttributeError, TypeError):
            found.__annotations__ = get_type_hints(found)


def _simplify_defaults(*event: Any) -> tuple[str | None, str | None]:
    """Replace `=<factory>` of a dataclass, which is no Python, by `=...`."""
    *_, signature, returned = event
    return signature and _OBJECT.sub("=...", signature), returned
