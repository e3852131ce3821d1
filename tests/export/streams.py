"""Streaming models in ONNX Runtime, chunk by chunk."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

import throughtime as tt

Outputs = dict[str, np.ndarray]


def chunks_of(length: int, seed: int = 0) -> list[int]:
    """Random lengths of chunks, of which some are 1."""
    random = np.random.default_rng(seed)
    cuts: list[int] = []
    while sum(cuts) < length:
        cuts.append(int(min(random.choice([1, 1, 2, 5]), length - sum(cuts))))
    return cuts


def run_chunks(
    session: Any, x: torch.Tensor, chunks: Sequence[int], **more: torch.Tensor
) -> Iterator[Outputs]:
    """The outputs of each chunk of x (B, L, …)."""
    others = {name: value.numpy() for name, value in more.items()}
    name = session.get_inputs()[0].name
    outputs = [output.name for output in session.get_outputs()]
    state = tt.export.stream_state(session, len(x))
    for part in x.split(list(chunks), 1):
        results = dict(zip(outputs, session.run(None, {name: part.numpy(), **others, **state}), strict=True))
        state = {before: results[before.removesuffix("_0") + "_n"] for before in state}
        yield results
