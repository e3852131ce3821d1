"""Handling of integer tensors such as offsets under transforms of torch.func, which do not apply to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, is_inference_mode_enabled
from torch._C import _are_functorch_transforms_active, _functorch
from torch.compiler import is_compiling

from throughtime.errors import UnsupportedError


def observed() -> bool:
    """Return whether a torch.func transform or inference mode is active."""
    return not is_compiling() and (_are_functorch_transforms_active() or is_inference_mode_enabled())


@contextmanager
def computed_apart() -> Iterator[None]:
    """Disable transforms and inference mode, so that results can be cached and saved for a backward pass."""
    with torch.inference_mode(mode=False), torch._C._DisableFuncTorch():  # noqa: SLF001
        yield


def assert_when_run(holds: Tensor, message: str) -> None:
    """Assert a condition when a compiled graph runs, as its branches cannot depend on tensor values."""
    torch._assert_async(holds.all(), message)  # noqa: SLF001


def plain_integers(integers: Tensor) -> Tensor:
    """Return integers without the wrappers of `torch.func.grad` and similar transforms."""
    while _functorch.is_gradtrackingtensor(integers) or _functorch.is_functionaltensor(integers):
        integers = _functorch.get_unwrapped(integers)
    return integers


def host_array(values: Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor that no vmap maps over as an array in host memory, whose values decide on shapes."""
    if not observed():
        return values.cpu().numpy()
    with computed_apart():
        return plain_integers(values).cpu().numpy()


def refuse_mapped(integers: Tensor) -> None:
    """Raise if `torch.func.vmap` maps over offsets, as every batch would have different lengths."""
    if _functorch.is_batchedtensor(integers):
        raise UnsupportedError(
            "vmap maps over the offsets of a Ragged, but all mapped batches need the same lengths; "
            "map over values only (in_dims=None for offsets), or concatenate the batches with Ragged.cat"
        )
