"""Integers under the transforms of torch.func: they carry no gradient, so that no transform concerns them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, is_inference_mode_enabled
from torch._C import _are_functorch_transforms_active, _functorch
from torch.compiler import is_compiling

from throughtime.errors import UnsupportedError


def observed() -> bool:
    """Tell whether what is computed here would belong to a transform or to inference mode."""
    return not is_compiling() and (_are_functorch_transforms_active() or is_inference_mode_enabled())


@contextmanager
def computed_apart() -> Iterator[None]:
    """Compute with plain tensors: results outlive the transform and may be saved for a backward pass."""
    with torch.inference_mode(mode=False), torch._C._DisableFuncTorch():  # noqa: SLF001
        yield


def assert_when_run(holds: Tensor, message: str) -> None:
    """Leave to a compiled graph what would be an error at once: its branches cannot depend on numbers."""
    torch._assert_async(holds.all(), message)  # noqa: SLF001


def plain(integers: Tensor) -> Tensor:
    """Return integers without what `torch.func.grad` and its like have put around them."""
    while _functorch.is_gradtrackingtensor(integers) or _functorch.is_functionaltensor(integers):
        integers = _functorch.get_unwrapped(integers)
    return integers


def refuse_mapped(integers: Tensor) -> None:
    """Raise if `torch.func.vmap` maps over offsets: then every batch would have lengths of its own."""
    if _functorch.is_batchedtensor(integers):
        raise UnsupportedError(
            "vmap maps over the offsets of a Ragged, but needs the same lengths in all that it maps over; "
            "map over values alone (in_dims=None for offsets), or join the batches with Ragged.cat"
        )
