"""Functions that join the outputs of parts side by side; `SideBySide` takes these and any other."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import ShapeError


def concatenated(outputs: list[Any]) -> Any:
    """Put the features of several outputs side by side; dim 1 has them in (T, C) and in (N, C, L)."""
    return torch.cat(outputs, dim=1)


@dataclass(frozen=True)
class Added:
    """The sum of the outputs of a body and a shortcut, for a block of this name."""

    name: str

    def __call__(self, outputs: list[Any]) -> Any:
        """Return the sum."""
        body, shortcut = outputs
        features = 0 if isinstance(body, Tensor) else 1
        if body.shape[features:] != shortcut.shape[features:]:
            raise ShapeError(
                f"{self.name}: the body gives {tuple(body.shape[features:])}, the shortcut "
                f"{tuple(shortcut.shape[features:])}; give a shortcut that fits, such as "
                "shortcut=Conv1d(in_channels, out_channels, 1)"
            )
        return body + shortcut


@dataclass(frozen=True)
class WeightedSum:
    """The sum of the outputs of parts, each multiplied by its weight, (n,) for n parts."""

    weights: Tensor

    def __call__(self, outputs: list[Any]) -> Any:
        """Return Σ_i w_i · o_i, of tensors or of ragged batches."""
        if isinstance(outputs[0], Tensor):
            return self._sum(outputs)
        return outputs[0].with_values(self._sum([output.values for output in outputs]))

    def _sum(self, outputs: list[Tensor]) -> Tensor:
        if any(output.shape != outputs[0].shape for output in outputs):
            shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
            raise ShapeError(f"a weighted sum needs outputs of one shape, got {shapes}")
        total = outputs[0] * self.weights[0]
        for place, output in enumerate(outputs[1:], 1):
            total = total + output * self.weights[place]
        return total
