"""Calls of the native interpreter with tensors: float32 or float64 on the CPU."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._memory import in_order
from throughtime.ops.program.encode import Encoded
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import plain_integers

Program = _native.Program

Tensors = Sequence[Tensor | None]


class Places(NamedTuple):
    """Where a program finds its tensors among those of a call; -1 for zeros in the place of a tensor.

    Parameters
    ----------
    tokens, previous, previous_initial, sequences, vectors, matrices, states : sequence of int
        For each tensor that the program reads its position. Only rows before a first token and states may be
        -1, or the position of a None: zeros.
    """

    tokens: Sequence[int] = ()
    previous: Sequence[int] = ()
    previous_initial: Sequence[int] = ()
    sequences: Sequence[int] = ()
    vectors: Sequence[int] = ()
    matrices: Sequence[int] = ()
    states: Sequence[int] = ()


class Machine:
    """An encoded program, ready to run."""

    def __init__(self, encoded: Encoded, places: Places) -> None:
        self._program = Program(
            list(encoded.instructions),
            rows=list(encoded.rows),
            locals=list(encoded.locals),
            states=list(encoded.states),
            outputs=list(encoded.outputs),
            matrices=list(encoded.matrices),
            places=list(map(list, places)),
            constants=list(encoded.constants),
        )
        self._places, self._numbers = places, encoded.constants
        read = {kind for _, _, operands, *_ in encoded.instructions for kind, _, _ in operands}
        others = {"token", "previous", "sequence", "vector"}
        self._reads_states_alone = read.isdisjoint(others) and not encoded.matrices
        self._widths = encoded.states
        self.count = len(encoded.outputs)
        """Number of outputs."""

    def run(
        self, tensors: tuple[Tensor | None, ...], steps: Steps, dtype: torch.dtype, *, from_end: bool
    ) -> tuple[Tensor, ...]:
        """Return the outputs (T, width), and then the final states (B, width)."""
        results = self._program.call(tensors, steps, from_end, torch.get_num_threads())
        return self._in_order(tensors, steps, dtype, from_end=from_end) if results is None else results

    def _in_order(
        self, tensors: Tensors, steps: Steps, dtype: torch.dtype, *, from_end: bool
    ) -> tuple[Tensor, ...]:
        """Run on tensors that are brought into the order in memory that native code reads."""
        groups = [
            [None if place < 0 or (part := tensors[place]) is None else in_order(part) for place in group]
            for group in self._places
        ]
        tokens, previous, previous_initial, sequences, vectors, matrices, states = groups
        if self._reads_states_alone and all(part is None for part in states):
            # The machine takes the dtype from the tensors.
            states = [torch.zeros(steps.batch, width, dtype=dtype) for width in self._widths]
        if self._numbers:
            vectors = [*vectors, torch.tensor(self._numbers, dtype=dtype, device="cpu")]
        final, outputs = self._program.run(
            tokens,  # type: ignore[arg-type]
            previous,  # type: ignore[arg-type]
            previous_initial,
            sequences,  # type: ignore[arg-type]
            vectors,  # type: ignore[arg-type]
            matrices,  # type: ignore[arg-type]
            states,
            order=steps.order,
            batch=steps.batch,
            length=steps.length,
            # Within a function transform torch wraps it as it does the tensors.
            index=None if steps.index is None else plain_integers(steps.index),
            from_end=from_end,
            threads=torch.get_num_threads(),
        )
        return *outputs, *final
