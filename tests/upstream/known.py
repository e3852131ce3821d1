"""The tests of PyTorch that throughtime's layers do not pass, each with its reason."""

import tomllib
from pathlib import Path

PATH = Path(__file__).with_name("known_differences.toml")


def known_differences() -> dict[str, str]:
    """Return the reason for each pattern of test names, ``Class::test``."""
    found = tomllib.loads(PATH.read_text(encoding="utf-8"))
    return {test: entry["reason"] for entry in found["difference"] for test in entry["tests"]}
