"""Everything that a function can read besides its arguments: closures, globals, attributes and modules."""

import argparse
import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.ops.program.tracing.code_names import is_of_library, names, whole_names
from throughtime.ops.program.tracing.places import Contents, Place

MISSING = object()

_PLAIN = (Tensor, type(None), int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
_LIBRARIES = frozenset({"torch", "throughtime", "numpy", "builtins", *sys.stdlib_module_names})
_RECORDS = (types.SimpleNamespace, argparse.Namespace)
_OF_MODULES = ("_parameters", "_buffers", "_modules")


_NO_CODE = compile("", "none", "exec")


class Walk:
    """Collects the places that a function may read.

    Attributes
    ----------
    entries : list of (Place, value)
        What is there now; `MISSING` where nothing is.
    sized : list of (container, str)
        Containers all of whose entries may be read, with their names.
    partial : list of Module
        Modules of which not all entries are listed.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        self.entries: list[tuple[Place, Any]] = []
        self.sized: list[tuple[Any, str]] = []
        self.partial: list[nn.Module] = []
        self._seen: dict[tuple[int, frozenset[str] | None], Any] = {}
        self._visit(f, "f")

    def _visit(self, value: Any, name: str, only: frozenset[str] | None = None) -> None:
        """Collect what a value holds; of a namespace the names alone that are read, if these are known."""
        if isinstance(value, _PLAIN) or (id(value), only) in self._seen:
            return
        self._seen[id(value), only] = value
        if isinstance(value, types.FunctionType):
            self._function(value, name)
        elif isinstance(value, types.MethodType):
            self._visit(value.__func__, name)
            self._visit(value.__self__, name.rpartition(".")[0] or name, names(_code(value)))
        elif isinstance(value, functools.partial):
            self._visit(value.func, name)
            self._entries(value.args, range(len(value.args)), name)
            self._whole(value.keywords, name)
        elif isinstance(value, nn.Module):
            self._module(value, name, only)
        elif isinstance(value, dict | list):
            self._whole(value, name)
        elif isinstance(value, tuple | set | frozenset):
            value = tuple(value)
            self._entries(value, range(len(value)), name)
        elif isinstance(value, types.ModuleType | type):
            self._namespace(value, name, only or frozenset())
        elif isinstance(value, _RECORDS) or (
            hasattr(value, "__dict__") and not _is_of_library(type(value).__module__)
        ):
            self._instance(value, name, only)

    def _entries(self, container: Any, keys: Iterable[Any], name: str) -> None:
        for key in keys:
            value = _entry(container, key)
            inner = f"{name}.{key}" if isinstance(key, str) else f"{name}[{key}]"
            self.entries.append((Place(container, key, inner), value))
            if value is not MISSING:
                self._visit(value, inner)

    def _whole(self, container: Any, name: str) -> None:
        self.sized.append((container, name))
        keys = list(container) if isinstance(container, dict) else range(len(container))
        self._entries(container, keys, name)

    def _function(self, function: types.FunctionType, name: str) -> None:
        code = function.__code__
        variables: list[tuple[str, Any, Any]] = []
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            variables.append((variable, Contents(cell), 0))
        if not is_of_library(code):
            known = function.__globals__
            variables += [
                (variable, known, variable) for variable in sorted(names(code)) if variable in known
            ]
        for variable, container, key in variables:
            value = _entry(container, key)
            self.entries.append((Place(container, key, variable), value))
            self._visit(value, variable, None if variable in whole_names(code) else names(code))
        defaults = function.__defaults__ or ()
        self._entries(defaults, range(len(defaults)), f"{name}'s defaults")
        self._whole(function.__kwdefaults__ or {}, f"{name}'s defaults")

    def _namespace(self, space: Any, name: str, only: frozenset[str]) -> None:
        """Collect the names that are read of a Python module or of a class."""
        module = space.__name__ if isinstance(space, types.ModuleType) else space.__module__
        if not _is_of_library(module):
            values = vars(space)
            self._entries(values, sorted(only & values.keys()), name)

    def _module(self, module: nn.Module, name: str, only: frozenset[str] | None) -> None:
        spaces = [vars(module)[key] for key in _OF_MODULES]
        if only is None:
            own = [key for key in vars(module) if key not in _OF_MODULES]
            self.sized.append((vars(module), name))
            self._entries(vars(module), own, name)
            for space in spaces:
                self._whole(space, name)
        else:
            self.partial.append(module)
            self._entries(vars(module), sorted({*only, "training"} - set(_OF_MODULES)), name)
            for space in spaces:
                self._entries(space, sorted((only | {"parametrizations"}) & space.keys()), name)
        self._methods(module, name, only or frozenset({"forward"}))

    def _instance(self, value: Any, name: str, only: frozenset[str] | None) -> None:
        if only is None:
            self._whole(vars(value), name)
        else:
            self._entries(vars(value), sorted(only), name)
        self._methods(value, name, only or frozenset({"__call__"}))

    def _methods(self, value: Any, name: str, read: frozenset[str]) -> None:
        """Collect what methods and properties read, and attributes of the class."""
        waiting, known = set(read), set(read)
        while waiting:
            attribute = waiting.pop()
            kinds = (vars(kind) for kind in type(value).__mro__ if attribute in vars(kind))
            space: Mapping[str, Any] = next(kinds, {})
            found = space.get(attribute)
            functions = _functions_of(found)
            if not functions and found is not None and not hasattr(found, "__get__"):
                self._entries(space, [attribute], name)
            for function in functions:
                if not is_of_library(function.__code__):
                    self._visit(function, f"{name}.{attribute}")
                    more = names(function.__code__) - known
                    waiting |= more
                    known |= more
                    self._visit(value, name, names(function.__code__))


def _functions_of(attribute: Any) -> list[types.FunctionType]:
    if isinstance(attribute, staticmethod | classmethod):
        attribute = attribute.__func__
    if isinstance(attribute, property):
        attribute = attribute.fget
    return [attribute] if isinstance(attribute, types.FunctionType) else []


def _code(method: types.MethodType) -> types.CodeType:
    code: types.CodeType = getattr(method.__func__, "__code__", _NO_CODE)
    return code


def _entry(container: Any, key: Any) -> Any:
    if isinstance(container, Contents):
        try:
            return container[0]
        except ValueError:  # an empty cell
            return MISSING
    if isinstance(container, list | tuple):
        return container[key]
    return container.get(key, MISSING)


def _is_of_library(module: str) -> bool:
    return module.partition(".")[0] in _LIBRARIES
