"""Sequences that are too long: truncated, refused, or cut into windows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from throughtime._fields import Positive
from throughtime._options import named
from throughtime._words import counted
from throughtime.data.inputs.interface import check_options
from throughtime.errors import DataError, ShapeError
from throughtime.ragged import Ragged

Longer = Literal["refuse", "truncate", "windows"]
"""What to do with longer sequences: refuse them, keep their first steps, or cut them into windows."""


@dataclass(frozen=True, kw_only=True)
class LengthLimit:
    """Maximum length of sequences, and what to do with longer ones.

    Parameters
    ----------
    length : int
        Maximum number of steps.
    longer : {"refuse", "truncate", "windows"}
        Refuse longer sequences with an error, keep their first steps, or cut them into overlapping windows,
        over which the caller averages predictions.
    stride : int, optional
        Steps from one window to the next; by default half the length.

    Raises
    ------
    ShapeError
        If the stride is longer than a window, so that steps would be left out, or an option has a value that
        is not allowed.

    Examples
    --------
    >>> x = Ragged.from_lengths(torch.arange(7), [5, 2])
    >>> limited, rows = LengthLimit(length=3, longer="truncate").apply(x, "row {}".format)
    >>> limited.values.tolist(), rows.tolist()
    ([0, 1, 2, 5, 6], [0, 1])
    """

    length: Positive
    longer: Longer = "refuse"
    stride: Positive | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.stride is not None:
            _require_stride(self.length, self.stride)

    def apply(self, sequences: Ragged, place: Callable[[int], str]) -> tuple[Ragged, Tensor]:
        r"""Return sequences of at most this length, and the row of each.

        Parameters
        ----------
        sequences : Ragged
            (T, \*D), one sequence per row.
        place
            Place of a row for the message, such as `Table.place`.

        Returns
        -------
        sequences : Ragged
            (T', \*D), N sequences.
        rows : Tensor
            (N,) int64: the row that each sequence is from, ascending.

        Raises
        ------
        DataError
            If a sequence is longer and ``longer="refuse"``; the message gives its place and length.
        """
        if self.longer == "windows":
            return windows(sequences, self.length, self.stride or max(1, self.length // 2))
        if self.longer == "refuse":
            self._require_short(sequences, place)
        return _cut(sequences, torch.arange(len(sequences)), sequences.lengths.new_zeros(()), self.length)

    def _require_short(self, sequences: Ragged, place: Callable[[int], str]) -> None:
        longer = (sequences.lengths > self.length).nonzero().flatten().tolist()
        if longer:
            others = (
                f" (and {counted(len(longer) - 1, 'other row')} more than {self.length:,})"
                if longer[1:]
                else ""
            )
            raise DataError(
                f"{place(longer[0])} has {counted(int(sequences.lengths[longer[0]]), 'step')}{others}, but "
                f"at most {self.length:,} are allowed; raise {named('max_length')}, truncate longer "
                f"sequences with {named('longer', 'truncate')}, or cut them with {named('longer', 'windows')}"
            )


def windows(sequences: Ragged, length: int, stride: int) -> tuple[Ragged, Tensor]:
    r"""Cut sequences into windows that start ``stride`` steps apart; the last ends with the sequence.

    A sequence of n steps has :math:`\max(0, \lceil (n - length) / stride \rceil) + 1` windows, the last of
    which may be shorter.

    Parameters
    ----------
    sequences : Ragged
        (T, \*D), B sequences.
    length, stride : int
        Maximum number of steps of a window, and steps from the start of one to the next, at most ``length``.

    Returns
    -------
    windows : Ragged
        (T', \*D), N windows in the order of their sequences.
    rows : Tensor
        (N,) int64: the sequence of each window.

    Raises
    ------
    ShapeError
        If length or stride are not positive, or the stride is longer than a window.

    Examples
    --------
    >>> parts, rows = windows(Ragged.from_lengths(torch.arange(7), [5, 2]), length=3, stride=2)
    >>> [part.tolist() for part in parts.to_list()], rows.tolist()
    ([[0, 1, 2], [2, 3, 4], [5, 6]], [0, 0, 1])
    """
    if length < 1:
        raise ShapeError(f"length = {length}; a window has at least 1 step")
    _require_stride(length, stride)
    counts = (sequences.lengths - length + stride - 1).div(stride, rounding_mode="floor").clamp(min=0) + 1
    rows = torch.repeat_interleave(torch.arange(len(sequences)), counts)
    ordinals = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
    return _cut(sequences, rows, ordinals * stride, length)


def _require_stride(length: int, stride: int) -> None:
    if not 1 <= stride <= length:
        raise ShapeError(
            f"stride = {stride}, but windows of {length} steps need a stride from 1 to {length}, so that no "
            "step is left out"
        )


def _cut(sequences: Ragged, rows: Tensor, starts: Tensor, length: int) -> tuple[Ragged, Tensor]:
    """Return up to ``length`` steps of the sequences of these rows, from these steps on."""
    lengths = (sequences.lengths[rows] - starts).clamp(max=length)
    first = sequences.layout.host_offsets[:-1][rows] + starts
    index = torch.arange(int(lengths.sum())) + (first - lengths.cumsum(0) + lengths).repeat_interleave(
        lengths
    )
    return Ragged.from_lengths(sequences.values[index.to(sequences.device)], lengths), rows
