"""`windows`: batches for truncated backpropagation through time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged import Layout, Ragged


@dataclass(frozen=True, eq=False)
class Window:
    """Steps ``start`` to ``stop`` (exclusive) of the sequences that are long enough; see `windows`.

    Parameters
    ----------
    number : int
        Index of the window, from 0.
    start, scored, stop : int
        The first step of the window, the first of its last k1 steps, which enter the loss, and the step after
        its last. Sequences that end earlier have fewer steps.
    after : int
        Number of steps of this window before the start of the next one, after which the state is carried.
    sequences : Tensor
        (B',) int64: indices of the window's sequences in the batch.
    ids : Tensor
        (B',) int64: streams of these sequences.
    """

    number: int
    start: int
    scored: int
    stop: int
    after: int
    sequences: Tensor
    ids: Tensor

    def to(self, *args: Any, **kwargs: Any) -> "Window":  # noqa: ARG002 - the signature of Tensor.to
        """Return the window itself: its tensors stay on the CPU when a batch is moved."""
        return self

    def of(self, x: Ragged) -> Ragged:
        """Return the window of a batch with the same lengths as the batch that was split."""
        return _cut(x, self.sequences, self.start, self.stop)

    def targets(self, x: Ragged) -> Ragged:
        """Return the last k1 steps, which enter the loss, of a batch with the same lengths."""
        return _cut(x, self.sequences, self.scored, self.stop)

    def counted(self, y: Ragged) -> Ragged:
        """Return the last k1 steps of the model output for the window."""
        if len(y) != len(self.sequences):
            raise ShapeError(
                f"this window has {len(self.sequences)} sequences, got a batch of {len(y)}; give the model "
                "output for window.of(x)"
            )
        return y if self.scored == self.start else y.split_time(self.scored - self.start)[1]


def windows(
    x: Ragged, k1: int, k2: int | None = None, *, ids: Tensor | None = None, count: int | None = None
) -> Iterator[Window]:
    r"""Split sequences into windows for truncated backpropagation through time, BPTT(k2; k1).

    There is one update per k1 steps. Its loss is that of the last k1 steps, and gradients flow back over at
    most k2 steps. So window n has the steps from max(0, (n + 1) k1 − k2) to (n + 1) k1, and the last k1 enter
    the loss. With k1 = k2, the common case, windows are adjacent; with k1 < k2 they overlap, and each step is
    computed k2/k1 times. A window starts from a state of an earlier window (see `Carried`), which is stale:
    it was computed with the weights before the last updates. All activations within a window are computed
    with the current weights.

    Parameters
    ----------
    x : Ragged
        The sequences. Only their lengths are read, so values may be memory-mapped from a large file.
    k1
        Number of steps between updates.
    k2
        Maximum number of steps that gradients flow back; by default k1.
    ids : Tensor, optional
        (B,) int64 numbers of the streams, for their states; by default 0 to B − 1.
    count
        Minimum number of windows, the last ones without sequences, so that all processes of a distributed
        training have the same number.

    Yields
    ------
    Window

    Raises
    ------
    ShapeError, InputTypeError
        If k1 or k2 is below 1, or k1 > k2; if ``ids`` are not B different numbers.

    References
    ----------
    .. [1] R. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent
       network trajectories", Neural Computation 2 (1990).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_lengths(torch.arange(7), [5, 2])
    >>> [window.of(x) for window in tt.bptt.windows(x, k1=2)][0].to_list()
    [tensor([0, 1]), tensor([5, 6])]
    >>> [(window.start, window.scored, window.stop) for window in tt.bptt.windows(x, k1=2, k2=3)]
    [(0, 0, 2), (1, 2, 4), (3, 4, 6)]
    """
    if not isinstance(x, Ragged):
        raise InputTypeError(f"windows takes a Ragged batch, got {type(x).__name__}; convert it first")
    k2 = k1 if k2 is None else k2
    if k1 < 1 or k2 < 1:
        raise ShapeError(f"k1 and k2 are numbers of steps, at least 1; got k1 = {k1} and k2 = {k2}")
    if k1 > k2:
        raise ShapeError(
            f"k1 = {k1} is greater than k2 = {k2}, but gradients must flow back over the k1 steps of an "
            "update; give k2 >= k1"
        )
    stream_ids = torch.arange(len(x)) if ids is None else _checked_ids(ids, len(x))
    lengths = x.lengths
    total = max(-(-int(x.longest) // k1), count or 0)
    return (_window(n, k1, k2, lengths, stream_ids) for n in range(total))


def _window(n: int, k1: int, k2: int, lengths: Tensor, ids: Tensor) -> Window:
    start, next_start = (max(0, (m + 1) * k1 - k2) for m in (n, n + 1))
    sequences = (lengths > n * k1).nonzero().flatten()
    return Window(n, start, n * k1, (n + 1) * k1, next_start - start, sequences, ids[sequences])


def _checked_ids(ids: Tensor, batch: int) -> Tensor:
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
        raise InputTypeError(f"ids must be an int64 tensor, got {getattr(ids, 'dtype', type(ids).__name__)}")
    if ids.shape != (batch,):
        raise ShapeError(f"ids must have shape ({batch},), one per sequence, got {tuple(ids.shape)}")
    if len(ids.unique()) != batch:
        raise ShapeError("ids must differ, because two sequences of one batch cannot share a state")
    return ids.cpu()


def _cut(x: Ragged, sequences: Tensor, start: int, stop: int) -> Ragged:
    """Return steps start to stop (exclusive) of these sequences, reading only their tokens."""
    layout = x.layout
    lengths = (layout.lengths[sequences].clamp(max=stop) - start).clamp(min=0)
    window = Layout.from_lengths(lengths, layout.offsets.device)
    shifts = layout.host_offsets[:-1][sequences] + start - window.host_offsets[:-1]
    rows = torch.arange(window.total) + torch.repeat_interleave(shifts, lengths)
    return Ragged(x.values.index_select(0, rows.to(x.values.device)), window.offsets, layout=window)


def streams(tokens: Tensor, count: int) -> Ragged:
    """Split one long stream into ``count`` streams for parallel processing, as in training language models.

    Parameters
    ----------
    tokens : Tensor
        (T, …) tokens; not copied.
    count
        Number of streams B. The first T mod B streams have one more token than the others.

    Returns
    -------
    Ragged
        The B streams; concatenated in order they are ``tokens``.

    Raises
    ------
    ShapeError
        If there are fewer tokens than streams.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tt.bptt.streams(torch.arange(10), 3).to_list()
    [tensor([0, 1, 2, 3]), tensor([4, 5, 6]), tensor([7, 8, 9])]
    """
    total = tokens.shape[0]
    if not 1 <= count <= total:
        raise ShapeError(f"cannot split {total} tokens into {count} streams; give 1 to {total} streams")
    lengths = torch.full((count,), total // count)
    lengths[: total % count] += 1
    return Ragged.from_lengths(tokens, lengths)
