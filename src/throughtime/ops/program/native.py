"""Calls of the native interpreter with tensors: float32 or float64 on the CPU."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._memory import in_order
from throughtime.ops.program.encode import Encoded
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import plain_integers

Program = _native.Program

Tensors = Sequence[Tensor | None]


class Machine:
    """An encoded program, ready to run."""

    def __init__(self, encoded: Encoded) -> None:
        self._program = Program(
            list(encoded.instructions),
            rows=list(encoded.rows),
            locals=list(encoded.locals),
            states=list(encoded.states),
            outputs=list(encoded.outputs),
            matrices=list(encoded.matrices),
        )
        self._numbers = encoded.constants
        read = {kind for _, _, operands, *_ in encoded.instructions for kind, _, _ in operands}
        others = {"token", "previous", "sequence", "vector"}
        self._reads_states_alone = read.isdisjoint(others) and not encoded.matrices
        self._widths = encoded.states
        self._constants: dict[torch.dtype, list[Tensor]] = {}

    def run(
        self,
        tokens: Tensors,
        previous: Tensors,
        previous_initial: Tensors,
        sequences: Tensors,
        vectors: Tensors,
        matrices: Tensors,
        states: Tensors,
        steps: Steps,
        dtype: torch.dtype,
        *,
        from_end: bool,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the final states (B, width) and the outputs (T, width).

        Only states and ``previous_initial``, the rows before a first token, may be None: zeros.
        """
        if self._reads_states_alone and all(part is None for part in states):
            # The machine takes the dtype from the tensors.
            states = [torch.zeros(steps.batch, width, dtype=dtype) for width in self._widths]
        results: tuple[list[Tensor], list[Tensor]] = self._program.run(
            _ordered(tokens),
            _ordered(previous),
            _ordered(previous_initial),
            _ordered(sequences),
            _ordered(vectors) + self._constant(dtype),
            _ordered(matrices),
            _ordered(states),
            order=steps.order,
            batch=steps.batch,
            length=steps.length,
            # Within a function transform torch wraps it as it does the tensors.
            index=None if steps.index is None else plain_integers(steps.index),
            from_end=from_end,
            threads=torch.get_num_threads(),
        )
        return results

    def _constant(self, dtype: torch.dtype) -> list[Tensor]:
        constants = self._constants.get(dtype)
        if constants is None:
            constants = [torch.tensor(self._numbers, dtype=dtype, device="cpu")] if self._numbers else []
            self._constants[dtype] = constants
        return constants


def _ordered(tensors: Tensors) -> list[Any]:
    return [None if part is None else in_order(part) for part in tensors]
