"""The public names, by the package that exports them, in the order of the API reference."""

from importlib import import_module
from inspect import isclass, isfunction, ismodule
from types import ModuleType
from typing import Any

from tests.test_public_names import PUBLIC

from throughtime._lazy import LAZY

MODULES = ("throughtime.nn.functional", "throughtime.nn.init", "throughtime.nn.description")
"""Modules among the public names of `throughtime.nn`; each has the names that it defines or re-exports."""
EXTENDING = tuple(f"throughtime.{name}" for name in ("tasks", "training", "training.callbacks", "report"))
"""Packages for tasks, training loops and pages of one's own."""


def by_package() -> dict[str, tuple[str, ...]]:
    """Return the names of every package, modules left out."""
    names = {package: public.split() for package, public in PUBLIC.items()}
    names["throughtime"] += LAZY
    names |= {module: _defined(import_module(module)) for module in (*MODULES, *EXTENDING)}
    order = ("throughtime", "throughtime.nn", *MODULES, *names)
    return {
        package: tuple(sorted(name for name in names[package] if not ismodule(value(package, name))))
        for package in dict.fromkeys(order)
    }


def class_paths() -> dict[str, str]:
    """Return the full name of each public class; of two with one name, that of the first package."""
    places = [(package, name) for package, names in reversed(by_package().items()) for name in names]
    return {name: f"{package}.{name}" for package, name in places if isclass(value(package, name))}


def value(package: str, name: str) -> Any:
    """Return what a public name stands for."""
    return getattr(import_module(package), name)


def _defined(module: ModuleType) -> list[str]:
    """Return the classes, functions and constants of a module that come from this package."""
    exported = getattr(module, "__all__", None)
    return list(
        exported or [name for name, found in vars(module).items() if _is_exported(module, name, found)]
    )


def _is_exported(module: ModuleType, name: str, found: Any) -> bool:
    if name.startswith("_") or not (isclass(found) or isfunction(found) or name.isupper()):
        return False
    return name.isupper() or f"{found.__module__}.".startswith(f"{module.__name__}.")
