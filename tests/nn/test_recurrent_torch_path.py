"""The code for devices without native kernels, called on CPU tensors and compared with the reference."""

import pytest
import torch
from torch import Tensor

from throughtime.ops.recurrent.fused import recurrent_layer_torch
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import BATCH_FIRST, PACKED, RAGGED, TIME_MAJOR, Steps

from .recurrent import CELLS, gradients, name_of, weights_for

ORDERS = {
    "ragged": (Steps(RAGGED, 5, 0, torch.tensor([0, 0, 3, 4, 4, 9])), 9),
    "ragged without tokens": (Steps(RAGGED, 2, 0, torch.tensor([0, 0, 0])), 0),
    "ragged without sequences": (Steps(RAGGED, 0, 0, torch.tensor([0])), 0),
    "time-major": (Steps(TIME_MAJOR, 2, 3, None), 6),
    "time-major without steps": (Steps(TIME_MAJOR, 2, 0, None), 0),
    "batch-first": (Steps(BATCH_FIRST, 2, 3, None), 6),
    "packed": (Steps(PACKED, 3, 3, torch.tensor([3, 2, 1])), 6),
}


VARIANTS = [
    *((cell, options) for cell in CELLS for options in ({}, {"bias": False}, {"directions": 2})),
    ("LSTM", {"projection": 2}),
]


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=name_of)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "states"])
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_torchs_fused_layers_give_what_the_reference_gives(
    cell: str, order: str, options: dict, given: bool
) -> None:
    torch.manual_seed(0)
    steps, tokens = ORDERS[order]
    weights = weights_for(cell, 2, 4, **options)
    x = torch.randn(tokens, 2, dtype=torch.float64, requires_grad=True)
    h0 = c0 = None
    if given:
        size = options.get("projection", 4)
        h0 = torch.randn(len(weights), steps.batch, size, dtype=torch.float64, requires_grad=True)
    if given and cell == "LSTM":
        c0 = torch.randn(len(weights), steps.batch, 4, dtype=torch.float64, requires_grad=True)
    inputs: list[Tensor] = [x, *(part for part in (h0, c0) if part is not None)]
    inputs += [part for direction in weights for part in direction if part is not None]
    expected = recurrent_layer_reference(x, steps, CellSpec.parse(cell), h0, c0, weights)[:3]
    found = recurrent_layer_torch(x, steps, CellSpec.parse(cell), h0, c0, weights)
    torch.testing.assert_close(found, expected)
    kept = slice(0, 3 if cell == "LSTM" else 2)
    torch.testing.assert_close(
        gradients(list(found[kept]), inputs), gradients(list(expected[kept]), inputs), rtol=1e-9, atol=1e-10
    )
