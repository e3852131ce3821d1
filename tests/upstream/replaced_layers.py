"""A pytest plugin that runs PyTorch's own tests on the layers of throughtime, in place of torch.nn's.

`run.py` loads it. It leaves out tests that name none of the layers in `REPLACED`, and writes the outcome of each other
test to a file.
"""

import inspect
import json
import os
import re
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import pytest
import torch

import throughtime as tt

# Of the same name in both; batch normalisation is torch's own class, on a Ragged as well.
REPLACED = (
    "RNN",
    "LSTM",
    "GRU",
    "RNNCell",
    "LSTMCell",
    "GRUCell",
    "Conv1d",
    "ConvTranspose1d",
    "MaxPool1d",
    "AvgPool1d",
    "GroupNorm",
    "InstanceNorm1d",
)
# A name, or one that a test puts together, such as f"MaxPool{dimensions}d".
_NAMED = re.compile(
    rf"(?<![A-Za-z])({'|'.join(REPLACED)})(?![A-Za-z0-9])|(Conv|Pool|Norm)(Transpose)?[{{'\"]"
)
_HELPER = re.compile(r"self\.(_\w+)\(")


def pytest_configure() -> None:
    """Put the layers in place, before a test file is imported."""
    # Torch's tests ask for it as the base of a class of theirs, and use nothing else of it.
    stub = types.ModuleType("expecttest")
    stub.TestCase = unittest.TestCase  # type: ignore[attr-defined]
    sys.modules.setdefault("expecttest", stub)
    if os.environ["LAYERS"] == "throughtime":
        for name in REPLACED:
            _replace(name, getattr(torch.nn, name), getattr(tt.nn, name))


def _replace(name: str, theirs: type, ours: type) -> None:
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("torch.nn") and vars(module).get(name) is theirs:
            setattr(module, name, ours)


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Leave out tests that use none of the layers."""
    kept = [item for item in items if _names_a_layer(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def _names_a_layer(item: Any) -> bool:
    of_one_module = re.search(r"_nn_(\w+?)_", item.name)
    if of_one_module:
        return of_one_module[1] in REPLACED
    return bool(_NAMED.search(item.name.replace("_", " "))) or bool(_NAMED.search(_source(item)))


def _source(item: Any) -> str:
    """Return the code of a test, and of the methods that it calls for help."""
    own = _code(item.function)
    helpers = {getattr(item.cls, name, None) for name in _HELPER.findall(own)}
    return "\n".join([own, *map(_code, helpers)])


def _code(function: Any) -> str:
    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        return ""


_outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a test ended; what failed in any phase has failed."""
    name = report.nodeid.partition("::")[2]
    if report.failed or name not in _outcomes:
        _outcomes[name] = report.outcome
    elif report.skipped and _outcomes[name] == "passed":
        _outcomes[name] = "skipped"


def pytest_sessionfinish() -> None:
    """Write all outcomes."""
    Path(os.environ["OUTCOMES"]).write_text(json.dumps(_outcomes), encoding="utf-8")
