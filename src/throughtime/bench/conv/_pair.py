"""A layer of ours and one of torch's on the same numbers: calls to time, and how far they agree."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.bench._agreement import apart
from throughtime.bench._lengths import Mode
from throughtime.ragged import Ragged

Module = Callable[[Any], Any]
Call = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """Two calls that compute the same.

    ``difference`` runs both and returns by how much they differ, as a share of the largest value; None where
    torch computes something else, padding among it.
    """

    ours: Call
    theirs: Call
    difference: Callable[[], float] | None = None


def pair(
    ours: Module, theirs: Module, values: Tensor, lengths: Tensor, mode: Mode, *, same: bool = True
) -> Pair:
    """Return the pair for these tokens, (T, C) or (T,), of which torch gets (B, C, L) or (B, L).

    Both are prepared outside of the clock. Training is forward, and backward to the input, if it is floating
    point, and to all parameters. Modules of ours and torch's share their parameters by `same_parameters`.
    """
    first, second = _Side(ours, *_ragged(values, lengths)), _Side(theirs, *_padded(values, lengths))
    output, padded = first.ready(), second.output()
    second.gradient = _padded_like(padded, first.gradient, output)

    def difference() -> float:
        pairs = [(_tensor(first.output()), _real(second.output(), output))]
        if mode == "training":
            found, wanted = first.train(), list(second.train())
            if values.is_floating_point():
                wanted[0] = Ragged.from_padded(wanted[0].transpose(1, 2), lengths=lengths).values
            pairs += zip(found, wanted, strict=True)
        differences = [apart(one, other) for one, other in pairs]
        # A maximum may ignore NaN.
        return math.inf if any(map(math.isnan, differences)) else max(differences)

    return Pair(first.call(mode), second.call(mode), difference if same else None)


def ragged_call(module: Module, values: Tensor, lengths: Tensor, mode: Mode) -> Call:
    """Return a call of a module of ours alone, prepared as in `pair`."""
    side = _Side(module, *_ragged(values, lengths))
    side.ready()
    return side.call(mode)


def same_parameters(ours: nn.Module, theirs: nn.Module) -> None:
    """Give torch's module the numbers of ours; both list them in the same order."""
    with torch.no_grad():
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(one)


class _Side:
    """A module, its input, and the tensors whose gradients are wanted."""

    def __init__(self, module: Module, x: Any, leaf: Tensor) -> None:
        self.module, self.x = module, x
        parameters = list(module.parameters()) if isinstance(module, nn.Module) else []
        self.wanted = [leaf, *parameters] if leaf.requires_grad else parameters
        self.gradient: Tensor = leaf

    def ready(self) -> Any:
        """Draw a gradient for the output, which is returned."""
        output = self.output()
        generator = torch.Generator().manual_seed(1)
        self.gradient = torch.randn(_tensor(output).shape, generator=generator)
        return output

    def call(self, mode: Mode) -> Call:
        return self.output if mode == "inference" else self.train

    def output(self) -> Any:
        with torch.no_grad():
            return self.module(self.x)

    def train(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(_tensor(self.module(self.x)), self.wanted, self.gradient)


def _tensor(output: Any) -> Tensor:
    found: Tensor = output.values if isinstance(output, Ragged) else output
    return found


def _ragged(values: Tensor, lengths: Tensor) -> tuple[Ragged, Tensor]:
    leaf = values.clone().requires_grad_(values.is_floating_point())
    return Ragged.from_lengths(leaf, lengths), leaf


def _padded(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    padded = Ragged.from_lengths(values, lengths).to_padded()
    if values.is_floating_point():
        padded = padded.transpose(1, 2).contiguous().requires_grad_()
    return padded, padded


def _padded_like(padded: Tensor, gradient: Tensor, output: Any) -> Tensor:
    """Return the gradient for torch's output, zeros where it is padding."""
    if not isinstance(output, Ragged):
        return gradient
    dense = Ragged.from_lengths(gradient, output.lengths).to_padded().transpose(1, 2)
    whole = torch.zeros_like(padded)
    whole[:, :, : dense.shape[2]] = dense
    return whole


def _real(padded: Tensor, output: Any) -> Tensor:
    """Return the tokens of torch's output that are no padding."""
    if not isinstance(output, Ragged):
        return padded
    longest = int(output.lengths.max())
    return Ragged.from_padded(padded.transpose(1, 2)[:, :longest], lengths=output.lengths).values
