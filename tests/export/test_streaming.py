"""Streaming ONNX models: in chunks they compute what the model does of the whole, or are refused by name."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import NotCausalError, ThroughtimeError

from ..models.named import BUILT, Built
from .runtime import session
from .streams import chunks_of, run_chunks

LENGTH, BATCH = 23, 2

# What cannot stream, with the part that the error names and its reason. All other models of tt.models can.
REFUSED = {
    "birnn": r"^recurrent \(RNN\) is bidirectional",
    "bigru": r"^recurrent \(GRU\) is bidirectional",
    "bilstm": r"^recurrent \(LSTM\) is bidirectional",
}


def as_outputs(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the model makes of whole sequences (B, L, …): (B, D) or (B, L, D)."""
    with torch.no_grad():
        y = model(Ragged.from_list(list(x)))
    return torch.stack(list(y)) if isinstance(y, Ragged) else y


@pytest.mark.parametrize("intermediates", [False, True])
@pytest.mark.parametrize("pool", ["max", "mean", "std", "sum", "last"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_a_classifier_returns_after_each_chunk_the_logits_of_the_sequence_so_far(
    cell: str, pool: str, intermediates: bool
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Embedding(11, 3), getattr(tt.nn, cell)(3, 5, num_layers=2), tt.nn.Pool(pool), tt.nn.Linear(5, 2)
    ).eval()
    runtime = session(tt.export.onnx(model, streaming=True, intermediates=intermediates))
    x, end = torch.randint(11, (BATCH, LENGTH)), 0
    chunks = chunks_of(LENGTH)
    for count, outputs in zip(chunks, run_chunks(runtime, x, chunks), strict=True):
        end += count
        expected = as_outputs(model, x[:, :end])
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-5, atol=1e-6)
    assert end == LENGTH
