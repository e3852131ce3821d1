"""The interpreter of encoded programs in place of the native class, on tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.ops.program.interpreter import Array, Arrays, Source, interpret
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows


class Program:
    """Stands in for `throughtime._native.Program`."""

    def __init__(self, instructions: list[Any], *, places: Any, constants: Any, **widths: Any) -> None:
        del places, constants  # of `call` alone
        self._source = Source(instructions, **widths)

    def call(self, *arguments: Any) -> None:
        """Find tensors unusual, so that they come in order."""

    def run(
        self,
        *groups: list[Tensor | None],
        order: int,
        batch: int,
        length: int,
        index: Tensor | None,
        from_end: bool,
        threads: int,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the final states and the outputs."""
        assert threads >= 1
        assert all(isinstance(group, list) for group in groups)
        tensors = [part for group in groups for part in group if part is not None]
        assert all(part.is_contiguous() for part in tensors)
        steps = Steps(order, batch, length, index)
        arrays = Arrays(*([None if part is None else _array(part) for part in group] for group in groups))  # type: ignore[arg-type]
        results = interpret(self._source, arrays, _rows(steps, from_end=from_end), np.float64)
        final, outputs = (
            [torch.from_numpy(part).to(tensors[0].dtype) for part in group] for group in results
        )
        # Registers hold NaN until they are written, and no test has NaN among its values.
        assert not any(part.isnan().any() for part in (*final, *outputs))
        return final, outputs


def _rows(steps: Steps, *, from_end: bool) -> list[list[int]]:
    """Return the rows of each sequence as they are read."""
    found = [
        rows(steps, torch.full((count,), b), torch.arange(count)).tolist()
        for b, count in enumerate(host_lengths(steps).tolist())
    ]
    return [places[::-1] if from_end else places for places in found]


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy().astype(np.float64)
