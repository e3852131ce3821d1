"""Find the peers that are installed here."""

import importlib
from collections.abc import Sequence

from throughtime.bench.recurrent.peers._contender import Contender

PEERS = ("torch", "onnxruntime", "openvino", "jax")
"""Names of all peers, as they are installed, and of the files here."""


def find(names: Sequence[str], threads: int) -> tuple[list[Contender], list[str]]:
    """Return the peers of these names that can be used here, and a line for each that cannot."""
    found, missing = [], []
    for name in names:
        try:
            module = importlib.import_module(f"throughtime.bench.recurrent.peers.{name}")
            found.append(module.contender(threads))
        except ImportError as error:
            lacking = error.name or name
            missing.append(f"{name} is not measured: {error} (pip install {lacking})")
    return found, missing
