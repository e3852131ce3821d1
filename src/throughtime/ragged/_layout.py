"""`Layout`: the offsets of the sequences in a batch, and tensors derived from them, without values.

The result of a token-wise operation on a `Ragged` shares its layout object, so comparing offsets is usually
an identity test, and CPU copies are made once.
"""

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import torch
from torch import Tensor
from torch.compiler import is_compiling

from throughtime._native import check_offsets
from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged._tracing import refuse_tracing
from throughtime.ragged._transforms import (
    assert_when_run,
    computed_apart,
    observed,
    plain_integers,
    refuse_mapped,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_NOT_ZERO, _DECREASING, _LAST_NOT_TOTAL = 1, 2, 3

_Value = TypeVar("_Value")


class _derived(Generic[_Value]):  # noqa: N801 - a decorator
    """A property that is cached per layout, except under torch.compile, whose graphs depend on offsets only.

    functools.cached_property takes a lock before Python 3.12, which torch.compile cannot trace, and would
    make graphs depend on which values are in the cache.
    """

    def __init__(self, compute: "Callable[[Layout], _Value]") -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, layout: None, owner: type) -> "_derived[_Value]": ...
    @overload
    def __get__(self, layout: "Layout", owner: type) -> _Value: ...
    def __get__(self, layout: "Layout | None", owner: type) -> "_derived[_Value] | _Value":
        if layout is None:
            return self
        if is_compiling():
            return self.compute(layout)
        cache = layout.cache
        if self.name not in cache:
            cache[self.name] = self._computed(layout)
        value: _Value = cache[self.name]
        return value

    def _computed(self, layout: "Layout") -> _Value:
        if not observed():
            return self.compute(layout)
        refuse_mapped(layout.offsets)
        with computed_apart():
            return self.compute(layout)


class Layout:
    """Offsets of B concatenated sequences, with cached CPU copies.

    Parameters
    ----------
    offsets : Tensor
        (B + 1,) int64 on the device of the values; not checked.
    host : Tensor, optional
        The same offsets on the CPU, if available, to avoid a device synchronization.
    total : int, optional
        The last offset, if available.
    """

    def __init__(self, offsets: Tensor, host: Tensor | None = None, total: int | None = None) -> None:
        if not is_compiling():
            refuse_tracing("a Ragged")
        # When a pytree is mapped, offsets can be any object.
        self.offsets = plain_integers(offsets) if isinstance(offsets, Tensor) and observed() else offsets
        self.cache: dict[str, Any] = {}
        self._host = host
        self._total = total

    @classmethod
    def from_lengths(cls, lengths: Tensor, device: torch.device) -> "Layout":
        """Return the layout of sequences with these lengths on the CPU, which are not checked."""
        if observed():
            refuse_mapped(lengths)
            with computed_apart():
                return cls._laid_out(plain_integers(lengths), device)
        return cls._laid_out(lengths, device)

    @classmethod
    def _laid_out(cls, lengths: Tensor, device: torch.device) -> "Layout":
        host = torch.constant_pad_nd(lengths.cumsum(0), (1, 0))
        return cls(host if host.device == device else host.to(device), host, _number(host[-1]))

    def __len__(self) -> int:
        return self.num_sequences

    @property
    def num_sequences(self) -> int:
        """Number of sequences B; symbolic in torch.export, where len() would specialize it."""
        return self.offsets.shape[0] - 1

    @_derived
    def host_offsets(self) -> Tensor:
        """(B + 1,) int64 offsets on the CPU; the only property that may synchronize with a device."""
        if self.offsets.is_cpu:
            return self.offsets
        return self.offsets.cpu() if self._host is None else self._host

    @_derived
    def lengths(self) -> Tensor:
        """(B,) int64 on the CPU: number of tokens in each sequence."""
        return self.host_offsets.diff()

    @property
    def total(self) -> int:
        """Total number of tokens T."""
        return self._last if self._total is None else self._total

    @_derived
    def longest(self) -> int:
        """Length of the longest sequence, 0 for an empty batch."""
        return _number(self.lengths.max()) if self.num_sequences else 0

    @_derived
    def sequence_ids(self) -> Tensor:
        """(T,) int64 on the device: index of the sequence of each token."""
        return torch.repeat_interleave(self._lengths_on_device, output_size=self.total)

    @_derived
    def positions(self) -> Tensor:
        """(T,) int64 on the device: the time step of each token within its sequence, from 0."""
        steps = torch.arange(self.total, device=self.offsets.device)
        return steps - self.offsets[:-1].index_select(0, self.sequence_ids)

    @_derived
    def reversal(self) -> Tensor:
        """(T,) int64 on the device: index of tokens that reverses every sequence in time (an involution)."""
        ends = (self.offsets[:-1] + self.offsets[1:] - 1).index_select(0, self.sequence_ids)
        return ends - torch.arange(self.total, device=self.offsets.device)

    @_derived
    def _last(self) -> int:
        return _number(self.host_offsets[-1])

    @_derived
    def _lengths_on_device(self) -> Tensor:
        return self.offsets.diff()

    def same_as(self, other: "Layout") -> bool:
        """Return whether both layouts have the same lengths."""
        if self is other:
            return True
        if self.num_sequences != other.num_sequences:
            return False
        if is_compiling():
            assert_when_run(
                self.offsets == other.offsets,
                "the batches have different lengths; token-wise operations need the same offsets",
            )
            return True
        return torch.equal(self.host_offsets, other.host_offsets)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Layout":
        """Return this layout with its offsets on a device, and with the CPU copy."""
        if device == self.offsets.device:
            return self
        moved = self.offsets.to(device, non_blocking=non_blocking)
        return Layout(moved, self.host_offsets, self._total)

    # Only the offsets are pickled; the cache is cheap to recompute.
    def __reduce__(self) -> tuple[type, tuple[Tensor]]:
        return Layout, (self.offsets,)


def _number(integer: Tensor) -> int:
    """Return a number that stays symbolic in torch.export, unlike int()."""
    return integer.item()  # type: ignore[return-value]


def checked_layout(offsets: Tensor, total: int, device: torch.device) -> Layout:
    """Check offsets and return their layout.

    Raises
    ------
    InputTypeError
        If ``offsets`` is not a one-dimensional int64 tensor on ``device``.
    ShapeError
        If it does not start at 0, decreases, or does not end at ``total``.
    """
    if not isinstance(offsets, Tensor) or offsets.dtype != torch.int64 or offsets.dim() != 1:
        raise InputTypeError(
            f"offsets must be a one-dimensional int64 tensor, got {_kind(offsets)}; "
            "create a batch with Ragged.from_list or Ragged.from_lengths"
        )
    if offsets.device != device:
        raise InputTypeError(
            f"values are on {device}, but offsets are on {offsets.device}; move one with .to(device)"
        )
    if offsets.shape[0] == 0:
        raise ShapeError("offsets need B + 1 entries, got none; an empty batch has offsets [0]")
    layout = Layout(offsets if offsets.is_contiguous() else offsets.contiguous(), total=total)
    if not (is_compiling() or offsets.is_meta):
        _check_values(layout, total)
    return layout


def _check_values(layout: Layout, total: int) -> None:
    host = layout.host_offsets
    fault, index, _ = check_offsets(host.data_ptr(), host.shape[0], total)
    if fault == _FIRST_NOT_ZERO:
        raise ShapeError(
            f"offsets must start at 0, got {int(host[0])}; subtract it, and remove the values before it"
        )
    if fault == _DECREASING:
        raise ShapeError(
            f"offsets must not decrease, but offsets[{index}] = {int(host[index])} "
            f"follows {int(host[index - 1])}"
        )
    if fault == _LAST_NOT_TOTAL:
        raise ShapeError(f"offsets must end at the number of values, {total}, got {int(host[index])}")


def checked_lengths(lengths: object, count: int | None = None) -> Tensor:
    """Check lengths and return them as a CPU int64 tensor (B,)."""
    try:
        host = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError):
        host = torch.zeros(())
    if isinstance(lengths, list | tuple) and not lengths:
        host = torch.zeros(0, dtype=torch.int64)
    if host.dim() != 1 or host.is_floating_point() or host.is_complex() or host.dtype == torch.bool:
        raise InputTypeError(f"lengths must be a one-dimensional sequence of integers, got {_kind(lengths)}")
    host = host.detach().to("cpu", torch.int64)
    if count is not None and host.shape[0] != count:
        raise ShapeError(f"expected one length for each of {count} sequences, got {host.shape[0]} lengths")
    if not is_compiling() and (host < 0).any():
        row = int((host < 0).nonzero()[0])
        raise ShapeError(f"lengths must not be negative, but lengths[{row}] = {int(host[row])}")
    return host


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return type(value).__name__
