"""Which names the code of a function reads."""

import dis
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import CodeType

import torch

from throughtime import errors

_LIBRARIES = str(Path(torch.__file__).parent), str(Path(errors.__file__).parent)
_LOADS = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_DEREF"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "LOAD_SUPER_ATTR"})


def is_of_library(code: CodeType) -> bool:
    """Tell whether code is torch's or this package's own."""
    return code.co_filename.startswith(_LIBRARIES)


@cache
def names(code: CodeType) -> frozenset[str]:
    """Return the names of globals and attributes that code reads or sets, and its strings."""
    result: set[str] = set()
    for part in _codes(code):
        result.update(part.co_names)
        result.update(constant for constant in part.co_consts if isinstance(constant, str))
    return frozenset(result)


@cache
def whole_names(code: CodeType) -> frozenset[str]:
    """Return the variables outside of code that it uses as such, and not only for their attributes."""
    result: set[str] = set()
    for part in _codes(code):
        instructions = [
            one for one in dis.get_instructions(part) if one.opname not in {"CACHE", "EXTENDED_ARG"}
        ]
        for this, following in pairwise(instructions):
            if this.opname in _LOADS and following.opname not in _ATTRIBUTES:
                result.add(str(this.argval))
    return frozenset(result)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
