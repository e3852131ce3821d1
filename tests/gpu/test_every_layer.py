"""The tests of every public layer (tests/nn/test_every_layer.py) with the layer and its input on the device."""

from dataclasses import replace

import pytest
import torch

from tests.gpu.device import CUDA, cuda_alone
from tests.nn import test_every_layer as on_cpu
from tests.nn.test_every_layer import Entry

ENTRIES = {name: replace(entry, device=CUDA.type) for name, entry in (on_cpu.TABLE | on_cpu.VARIANTS).items()}
if CUDA.type != "cuda":
    del ENTRIES["ConvBlock2d"]  # the simulated device has no convolution of images
each_layer = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


@cuda_alone
@each_layer
@pytest.mark.parametrize("recorded", [True, False])
def test_copied_and_pickled_after_use(entry: Entry, recorded: bool) -> None:
    on_cpu.test_copied_and_pickled_after_use(entry, recorded)


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_other_precisions(entry: Entry, dtype: torch.dtype) -> None:
    on_cpu.test_in_other_precisions(entry, dtype)


@each_layer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(entry: Entry, dtype: torch.dtype) -> None:
    on_cpu.check_under_autocast(entry, dtype)


@each_layer
def test_with_frozen_parameters(entry: Entry) -> None:
    on_cpu.test_with_frozen_parameters(entry)


@each_layer
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("lengths", [[], [0, 0]], ids=["none", "empty"])
def test_an_empty_batch_has_gradients_of_zero(entry: Entry, training: bool, lengths: list[int]) -> None:
    on_cpu.test_an_empty_batch_has_gradients_of_zero(entry, training, lengths)


@each_layer
def test_a_sequence_of_one_step(entry: Entry) -> None:
    on_cpu.test_a_sequence_of_one_step(entry)


@each_layer
def test_gradients_of_each_example_by_vmap(entry: Entry) -> None:
    on_cpu.test_gradients_of_each_example_by_vmap(entry)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own
@each_layer
def test_forward_mode(entry: Entry) -> None:
    on_cpu.test_forward_mode(entry)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf", "ignore:.torch.jit.script"
)
@each_layer
def test_compiled_as_one_graph(entry: Entry) -> None:
    on_cpu.test_compiled_as_one_graph(entry)
