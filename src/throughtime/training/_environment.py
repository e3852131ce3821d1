"""What a training ran on. Nothing that tells who ran it or where: no user, host or path."""

import os
import platform
from importlib import metadata
from typing import Any

import torch

_PACKAGES = ("throughtime", "torch", "numpy", "pytorch-lightning", "safetensors", "tokenizers")


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
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
