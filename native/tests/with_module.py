"""Run pytest with another build of the native module, such as one with sanitizers in it.

python native/tests/with_module.py build/…/_native.….so [what pytest takes]
"""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

NAME = "throughtime._native"


class Other:
    """Finds the native module in one place."""

    def __init__(self, path: str) -> None:
        self.path = path

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where the module is, and of no other."""
        if name != NAME:
            return None
        loader = importlib.machinery.ExtensionFileLoader(name, self.path)
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


if __name__ == "__main__":
    sys.meta_path.insert(0, Other(sys.argv[1]))
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
