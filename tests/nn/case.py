"""A case of the contract: a layer, its reference and its properties."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

FEATURES = 3


@dataclass(frozen=True)
class Case:
    """A layer under the contract."""

    name: str
    make: Callable[[], nn.Module]
    # What torch gives a sequence (L, D) alone, L >= 1, with the same weights; None where torch has no twin.
    reference: Callable[[nn.Module, Tensor], Tensor | None] | None = None
    # layer(x, state) -> (y, state)
    stateful: bool = False
