"""`windows`: truncated backpropagation through time as ordinary batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged import Layout, Ragged


@dataclass(frozen=True, eq=False)
class Window:
    """Steps ``start`` … ``stop`` of the sequences that reach so far; see `windows`.

    Parameters
    ----------
    number : int
        0 for the first.
    start, scored, stop : int
        The window's first step, the first of its last k1 steps, whose errors count, and the step after its
        last; sequences that end earlier have fewer.
    after : int
        How many of the window's steps the next window's state has behind it.
    sequences : Tensor
        (B',) int64: which of the batch's sequences these are.
    ids : Tensor
        (B',) int64: the streams that they belong to.
    """

    number: int
    start: int
    scored: int
    stop: int
    after: int
    sequences: Tensor
    ids: Tensor

    def to(self, *args: Any, **kwargs: Any) -> "Window":  # noqa: ARG002 - as of a tensor
        """Return the window itself: its numbers stay on the host, whatever device a batch is moved to."""
        return self

    def of(self, x: Ragged) -> Ragged:
        """Return the window's tokens of a batch that is aligned, token by token, with the one cut."""
        return _cut(x, self.sequences, self.start, self.stop)

    def targets(self, x: Ragged) -> Ragged:
        """Return the tokens whose errors count, the last k1 steps, of an aligned batch."""
        return _cut(x, self.sequences, self.scored, self.stop)

    def counted(self, y: Ragged) -> Ragged:
        """Return those steps of what a model made of the window."""
        if len(y) != len(self.sequences):
            raise ShapeError(
                f"this window has {len(self.sequences)} sequences, got a batch of {len(y)}; give what the "
                "model made of window.of(x)"
            )
        return y if self.scored == self.start else y.split_time(self.scored - self.start)[1]


def windows(
    x: Ragged, k1: int, k2: int | None = None, *, ids: Tensor | None = None, count: int | None = None
) -> Iterator[Window]:
    r"""Cut sequences into the windows of BPTT(k2; k1).

    Every k1 steps comes an update, whose errors are those of the last k1 steps, and flow back over at most k2
    steps. So window n is the steps max(0, (n + 1) k1 − k2) … (n + 1) k1, of which the last k1 count. With
    k1 = k2, the common case, windows lie side by side; with k1 < k2 they overlap, and each step is computed
    k2/k1 times. A window begins with the state that an earlier window left there (see `Carried`), which is
    stale: it was computed with the weights before the last updates. All activations inside of a window are
    computed with the weights of now.

    Parameters
    ----------
    x : Ragged
        The sequences, of any features: only their lengths are read, so values may be mapped from a file that
        is larger than memory.
    k1
        Steps from one update to the next.
    k2
        Steps that errors flow back at most; by default k1.
    ids : Tensor, optional
        (B,) int64 names of the streams, by which their states are found; by default 0 … B − 1.
    count
        At least so many windows, the last ones without sequences: for a process whose neighbours have more.

    Yields
    ------
    Window

    Raises
    ------
    ShapeError, InputTypeError
        If k1 or k2 is below 1, or k1 > k2; if ids do not name each sequence once.

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
        raise InputTypeError(f"windows are cut from a Ragged batch, got {type(x).__name__}")
    k2 = k1 if k2 is None else k2
    if k1 < 1 or k2 < 1:
        raise ShapeError(f"k1 and k2 are numbers of steps, at least 1; got k1 = {k1} and k2 = {k2}")
    if k1 > k2:
        raise ShapeError(
            f"k1 = {k1} is more than k2 = {k2}: errors of k1 steps must flow back at least so far; "
            "give k2 >= k1"
        )
    names = torch.arange(len(x)) if ids is None else _checked_ids(ids, len(x))
    lengths = x.lengths
    total = max(-(-int(x.longest) // k1), count or 0)
    return (_window(n, k1, k2, lengths, names) for n in range(total))


def _window(n: int, k1: int, k2: int, lengths: Tensor, names: Tensor) -> Window:
    start, following = (max(0, (m + 1) * k1 - k2) for m in (n, n + 1))
    sequences = (lengths > n * k1).nonzero().flatten()
    return Window(n, start, n * k1, (n + 1) * k1, following - start, sequences, names[sequences])


def _checked_ids(ids: Tensor, batch: int) -> Tensor:
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
        raise InputTypeError(f"ids are an int64 tensor, got {getattr(ids, 'dtype', type(ids).__name__)}")
    if ids.shape != (batch,):
        raise ShapeError(f"ids name each of {batch} sequences, got shape {tuple(ids.shape)}")
    if len(ids.unique()) != batch:
        raise ShapeError("ids must differ: two sequences of one batch cannot go on from the same state")
    return ids.cpu()


def _cut(x: Ragged, sequences: Tensor, start: int, stop: int) -> Ragged:
    """Return steps start … stop of these sequences; only their tokens are read."""
    layout = x.layout
    lengths = (layout.lengths[sequences].clamp(max=stop) - start).clamp(min=0)
    taken = Layout.from_lengths(lengths, layout.offsets.device)
    first = layout.host_offsets[:-1][sequences] + start - taken.host_offsets[:-1]
    rows = torch.arange(taken.total) + torch.repeat_interleave(first, lengths)
    return Ragged(x.values.index_select(0, rows.to(x.values.device)), taken.offsets, layout=taken)


def streams(tokens: Tensor, count: int) -> Ragged:
    """Cut one long stream into so many that are read side by side, as language models are trained.

    Parameters
    ----------
    tokens : Tensor
        (T, …); not copied.
    count
        B. The first T mod B streams have one token more.

    Returns
    -------
    Ragged
        Together the whole stream, in order.

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
        raise ShapeError(f"{total} tokens cannot be cut into {count} streams; take between 1 and {total}")
    lengths = torch.full((count,), total // count)
    lengths[: total % count] += 1
    return Ragged.from_lengths(tokens, lengths)
