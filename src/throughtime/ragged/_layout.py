"""Where each sequence of a batch begins and ends: offsets, and what can be derived from them.

A layout holds no values. Every `Ragged` that came from another by a token-wise operation shares its
layout object, so "same offsets?" is usually one identity test, and host copies are made once.
"""

from functools import cached_property

import torch
from torch import Tensor

from throughtime._native import check_offsets
from throughtime.errors import KindError, ShapeError

_FIRST_NOT_ZERO, _DECREASING, _LAST_NOT_TOTAL = 1, 2, 3


class Layout:
    """Offsets of B sequences laid end to end, with host copies cached.

    Parameters
    ----------
    offsets : Tensor
        (B + 1,) int64, already checked; on the device of the values.
    host : Tensor, optional
        The same offsets in host memory, where the caller has them: it saves a device sync.
    """

    def __init__(self, offsets: Tensor, host: Tensor | None = None) -> None:
        self.offsets = offsets
        self._host = host

    @classmethod
    def from_lengths(cls, lengths: Tensor, device: torch.device) -> "Layout":
        """Lay sequences of these checked host lengths end to end."""
        host = torch.zeros(len(lengths) + 1, dtype=torch.int64)
        torch.cumsum(lengths, 0, out=host[1:])
        return cls(host.to(device), host)

    def __len__(self) -> int:
        return self.offsets.shape[0] - 1

    @cached_property
    def host_offsets(self) -> Tensor:
        """(B + 1,) int64 in host memory; the only place that may wait for a device."""
        return self.offsets.cpu() if self._host is None else self._host

    @cached_property
    def lengths(self) -> Tensor:
        """(B,) int64 in host memory: tokens of each sequence."""
        return self.host_offsets.diff()

    @cached_property
    def total(self) -> int:
        """T, the number of tokens in all."""
        return int(self.host_offsets[-1])

    @cached_property
    def longest(self) -> int:
        """Length of the longest sequence, 0 for an empty batch."""
        return int(self.lengths.max()) if len(self) else 0

    @cached_property
    def sequence_ids(self) -> Tensor:
        """(T,) int64 on the device: to which sequence each token belongs."""
        return torch.repeat_interleave(self._lengths_on_device, output_size=self.total)

    @cached_property
    def positions(self) -> Tensor:
        """(T,) int64 on the device: the time step of each token within its sequence, from 0."""
        steps = torch.arange(self.total, device=self.offsets.device)
        return steps - self.offsets[:-1].index_select(0, self.sequence_ids)

    @cached_property
    def reversal(self) -> Tensor:
        """(T,) int64 on the device: the index that reverses every sequence in time (an involution)."""
        ends = (self.offsets[:-1] + self.offsets[1:] - 1).index_select(0, self.sequence_ids)
        return ends - torch.arange(self.total, device=self.offsets.device)

    @cached_property
    def _lengths_on_device(self) -> Tensor:
        return self.offsets.diff()

    def same_as(self, other: "Layout") -> bool:
        """Tell whether both lay out the same lengths."""
        if self is other:
            return True
        return len(self) == len(other) and torch.equal(self.host_offsets, other.host_offsets)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Layout":
        """Return this layout with its offsets on a device; host copies are kept."""
        if device == self.offsets.device:
            return self
        moved = self.offsets.to(device, non_blocking=non_blocking)
        return Layout(moved, self.host_offsets)

    # Only the offsets travel between processes: caches are cheap to make again.
    def __getstate__(self) -> dict[str, Tensor | None]:
        return {"offsets": self.offsets, "_host": None}


def checked_layout(offsets: Tensor, total: int, device: torch.device) -> Layout:
    """Check offsets that came from outside and return their layout.

    Raises
    ------
    KindError
        If ``offsets`` is not a one-dimensional int64 tensor on ``device``.
    ShapeError
        If it does not start at 0, decreases, or does not end at ``total``.
    """
    if not isinstance(offsets, Tensor) or offsets.dtype != torch.int64 or offsets.dim() != 1:
        raise KindError(
            f"offsets must be a one-dimensional int64 tensor, got {_kind(offsets)}; "
            "build a batch with Ragged.from_list or Ragged.from_lengths"
        )
    if offsets.device != device:
        raise KindError(f"values are on {device} but offsets on {offsets.device}; move one with .to(device)")
    if offsets.shape[0] == 0:
        raise ShapeError("offsets need B + 1 entries, got none; an empty batch has offsets [0]")
    layout = Layout(offsets.contiguous())
    if not torch.compiler.is_compiling():
        _check_values(layout, total)
    return layout


def _check_values(layout: Layout, total: int) -> None:
    host = layout.host_offsets
    fault, index, _ = check_offsets(host.data_ptr(), host.shape[0], total)
    if fault == _FIRST_NOT_ZERO:
        raise ShapeError(
            f"offsets must start at 0, got {int(host[0])}; subtract it, and drop the values before it"
        )
    if fault == _DECREASING:
        raise ShapeError(
            f"offsets must not decrease, but offsets[{index}] = {int(host[index])} "
            f"comes after {int(host[index - 1])}"
        )
    if fault == _LAST_NOT_TOTAL:
        raise ShapeError(f"offsets must end at the number of values, {total}, got {int(host[index])}")


def checked_lengths(lengths: object, count: int | None = None) -> Tensor:
    """Return lengths from outside as a host int64 tensor (B,), or say what is wrong with them."""
    try:
        host = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError):
        host = torch.zeros(())
    if isinstance(lengths, list | tuple) and not lengths:
        host = torch.zeros(0, dtype=torch.int64)
    if host.dim() != 1 or host.is_floating_point() or host.is_complex() or host.dtype == torch.bool:
        raise KindError(f"lengths must be a one-dimensional sequence of integers, got {_kind(lengths)}")
    host = host.detach().to("cpu", torch.int64)
    if count is not None and host.shape[0] != count:
        raise ShapeError(f"lengths must name {count} sequences, got {host.shape[0]}")
    if (host < 0).any():
        row = int((host < 0).nonzero()[0])
        raise ShapeError(f"lengths must not be negative, but lengths[{row}] = {int(host[row])}")
    return host


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return type(value).__name__
