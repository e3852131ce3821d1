"""Documentation of constants: the string below their assignment, in the module that defines them."""

import sys
from typing import Any


def documentation_of(package: str, constant: Any) -> str:
    """Return the string below the assignment of a constant that a package exports."""
    root = package.partition(".")[0]
    for module in [name for name in sys.modules if name.partition(".")[0] == root and sys.modules[name]]:
        for name, found in vars(sys.modules[module]).items():
            if found is constant and (text := _comment(module, name)):
                return text
    raise ValueError(f"a constant of {package} has no documentation string below its assignment")


def _comment(module: str, name: str) -> str:
    if not str(getattr(sys.modules[module], "__file__", "")).endswith(".py"):
        return ""
    from sphinx.pycode import ModuleAnalyzer

    return "\n".join(ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name), []))
