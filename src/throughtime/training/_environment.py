"""What a training ran on. Nothing that tells who ran it or where: no user, host or path."""

import datetime as dt
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import torch

from throughtime._fields import Fields
from throughtime._native import instruction_set
from throughtime.training.processes import processes

_PACKAGES = ("throughtime", "torch", "numpy", "pytorch-lightning", "safetensors", "tokenizers")
# On these the last bits of weights depend, or may; on the others they do not.
_DECIDING = ("packages", "machine", "threads", "cpu_capability", "instruction_set", "gpus", "processes")


def environment() -> dict[str, Any]:
    """Return versions, machine and threads as JSON values."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "packages": {name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "instruction_set": instruction_set(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what differs between two environments and may change weights: what it was, and what it is.

    Examples
    --------
    >>> changes({"threads": 2, "packages": {"torch": "2.8"}}, {"threads": 4, "packages": {"torch": "2.8"}})
    {'threads': [2, 4]}
    """
    found = {}
    for name in _DECIDING:
        before, after = was.get(name), now.get(name)
        if name == "packages":
            before, after = (part if isinstance(part, Mapping) else {} for part in (before, after))
            for package in sorted({*before, *after}):
                if before.get(package) != after.get(package):
                    found[package] = [before.get(package), after.get(package)]
        elif before != after:
            found[name] = [before, after]
    return found


def resumed(recorded: Mapping[str, Any], changed: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Return a record with one more entry: that a training was resumed in a changed environment.

    Raises
    ------
    ValueError
        If the entries so far are no list.
    """
    entry = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "epochs": epochs,
        "changed": dict(changed),
    }
    before = Fields(dict(recorded)).items("resumed") if "resumed" in recorded else []
    return {**recorded, "resumed": [*before, entry]}


@cache
def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
