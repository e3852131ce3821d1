"""How the tokens of a batch lie in memory.

Tokens are always the rows of one matrix; `Steps` says which row is step t of sequence b. So a batch in any
of the usual orders goes to a kernel as it is: nothing is padded, transposed or sorted on the way.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ragged import Layout

RAGGED, TIME_MAJOR, BATCH_FIRST, PACKED = range(4)


class Steps(NamedTuple):
    """Where step t of sequence b lies among the T rows of a token matrix.

    ============  ============================  =================================================
    order         index                         row
    ============  ============================  =================================================
    RAGGED        offsets (B + 1,)              offsets[b] + t
    TIME_MAJOR    None                          t · B + b
    BATCH_FIRST   None                          b · length + t
    PACKED        batch sizes (length,), host   Σ batch sizes before t, + b; longest sequence first
    ============  ============================  =================================================

    ``length`` is the number of time steps, and unused for RAGGED. The index is int64.

    ``reset`` (T,) int8 says of each row whether the state before its token is zeros, as if a sequence began
    there; None for nowhere. The direction that reads from the end begins again with the token before it.
    """

    order: int
    batch: int
    length: int
    index: Tensor | None  # type: ignore[assignment]  # hides tuple.index
    reset: Tensor | None = None


def ragged_steps(layout: Layout) -> Steps:
    """Take sequences end to end."""
    return Steps(RAGGED, layout.num_sequences, 0, layout.offsets)


def dense_steps(batch: int, length: int, *, batch_first: bool) -> Steps:
    """Take sequences of one length, (length, B) or (B, length) flattened."""
    return Steps(BATCH_FIRST if batch_first else TIME_MAJOR, batch, length, None)


def packed_steps(batch_sizes: Tensor, batch: int) -> Steps:
    """Take the order of a `PackedSequence`."""
    return Steps(PACKED, batch, batch_sizes.shape[0], batch_sizes)


def host_lengths(steps: Steps) -> Tensor:
    """Return (B,) int64 in host memory: tokens of each sequence."""
    if steps.order == RAGGED:
        return _index(steps).cpu().diff()
    if steps.order == PACKED:
        ranks = torch.arange(steps.batch)
        return (_index(steps)[None, :] > ranks[:, None]).sum(1)
    return torch.full((steps.batch,), steps.length, dtype=torch.int64)


def rows(steps: Steps, sequence: Tensor, step: Tensor) -> Tensor:
    """Return the row of a step of a sequence, for host tensors of both."""
    if steps.order == RAGGED:
        return _index(steps).cpu()[sequence] + step
    if steps.order == PACKED:
        sizes = _index(steps)
        return (sizes.cumsum(0) - sizes)[step] + sequence
    if steps.order == TIME_MAJOR:
        return step * steps.batch + sequence
    return sequence * steps.length + step


def _index(steps: Steps) -> Tensor:
    return torch.zeros(0, dtype=torch.int64) if steps.index is None else steps.index
