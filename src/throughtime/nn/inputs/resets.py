"""Reset flags of tokens: the pieces into which they split the sequences of a batch, and their states.

A flag is a boundary between a token and the previous one. So a batch with flags is a batch of more and
shorter sequences over the same tokens, which every layer for ragged batches can run.
"""

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.inputs.tokens import Input, ragged_of
from throughtime.ops.recurrent.steps import Steps, ragged_steps
from throughtime.ragged import Layout, Ragged, host_array, refuse_compiling, refuse_tracing

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Pieces:
    """The N pieces into which reset flags split B sequences; an empty sequence is one piece.

    The arrays are small and in host memory, where numpy is faster than torch.

    Parameters
    ----------
    offsets, bounds : array
        (B + 1,) and (N + 1,): offsets of the sequences and of the pieces, in the order of the caller.
    first : array
        (B + 1,): the first piece of each sequence, and N.
    dropped : array
        The sequences whose first token has a flag, so that the state of the call is ignored.
    device
        Of the tokens.
    """

    offsets: Integers
    bounds: Integers
    first: Integers
    dropped: Integers
    device: torch.device

    @property
    def count(self) -> int:
        """N."""
        return len(self.bounds) - 1

    @property
    def cuts(self) -> bool:
        """Whether any sequence is split."""
        return len(self.bounds) > len(self.offsets)

    @cached_property
    def whole(self) -> Layout:
        """Of the sequences."""
        return self._layout(self.offsets)

    @cached_property
    def layout(self) -> Layout:
        """Of the pieces."""
        return self._layout(self.bounds)

    @property
    def flags(self) -> Ragged:
        """(T,) bool: the flags that give these pieces, of sequences end to end."""
        flags = np.zeros(self.offsets[-1], dtype=np.bool_)
        flags[self.offsets[self.dropped]] = True
        flags[np.delete(self.bounds, self.first)] = True
        return Ragged(torch.from_numpy(flags).to(self.device), self.whole.offsets, layout=self.whole)

    def of(self, x: Ragged) -> Ragged:
        """Return the pieces of sequences as sequences, over the same values."""
        return Ragged(x.values, self.layout.offsets, layout=self.layout) if self.cuts else x

    @property
    def steps(self) -> Steps:
        """Where each step of each piece lies among tokens end to end."""
        return ragged_steps(self.layout)

    def of_sequences(self, values: Tensor) -> Tensor:
        """Return for each piece the row (B, …) of its sequence."""
        if not self.cuts:
            return values
        pieces = np.diff(self.first)
        return values.index_select(0, self._tensor(np.repeat(np.arange(len(pieces)), pieces)))

    def begun(self, given: Tensor, initial: Tensor | None, *, dim: int = 0, reverse: bool = False) -> Tensor:
        """Return the states before each piece, N along ``dim``, of those given for each sequence.

        In the order of reading the first piece of a sequence begins with its state, all others with
        ``initial``, shaped as the result; None is zeros.
        """
        kept = np.arange(len(self.first) - 1)
        if not reverse:
            kept = np.delete(kept, self.dropped)
        if not self.cuts and len(kept) == given.shape[dim]:
            return given
        if initial is None:
            initial = given.new_zeros(*given.shape[:dim], self.count, *given.shape[dim + 1 :])
        begins = self.first[kept + 1] - 1 if reverse else self.first[kept]
        rows = given.index_select(dim, self._tensor(kept))
        return initial.to(given.dtype).index_copy(dim, self._tensor(begins), rows)

    def ended(self, final: Tensor, *, dim: int = 0, reverse: bool = False) -> Tensor:
        """Return the states after each sequence, of those after each piece."""
        if not self.cuts:
            return final
        ends = self.first[:-1] if reverse else self.first[1:] - 1
        return final.index_select(dim, self._tensor(ends))

    def _layout(self, offsets: Integers) -> Layout:
        host = torch.from_numpy(offsets)
        return Layout(host.to(self.device), host, int(offsets[-1]))

    def _tensor(self, integers: Integers) -> Tensor:
        return torch.from_numpy(integers).to(self.device)


def pieces_of(reset: Any, x: Input, *, batch_first: bool, layer: str) -> Pieces:
    """Cut sequences before every token whose flag is true.

    Parameters
    ----------
    reset
        bool, one for each token, of the same kind as ``x``.
    x
        Input of the layer.
    batch_first
        Whether tensors are (B, L, …).
    layer
        For messages.

    Raises
    ------
    InputTypeError
        If the flags are not of the kind of the input, or not bool.
    ShapeError
        If there is not one flag for each token.
    UnsupportedError
        Under torch.compile, torch.export and torch.jit.trace, and where vmap maps over flags.
    """
    refuse_tracing("reset flags")
    refuse_compiling(
        f"the reset flags of {layer}, whose values decide how many pieces there are",
        "leave this layer out of the graph, or split sequences before the call and give it no flags",
    )
    _check(reset, x, layer)
    if isinstance(x, Tensor):
        return _cut(*_of_tensor(reset, x, batch_first=batch_first), x.device)
    flags = reset if isinstance(reset, Ragged) else ragged_of(reset, batch_first=False)
    return _cut(host_array(flags.values), host_array(flags.layout.host_offsets), flags.device)


def flags_by_row(reset: Any, x: Input, layer: str) -> Tensor:
    """Return the flags (T,) int8 of the rows of the tokens, as `Steps.reset` has them.

    Raises
    ------
    InputTypeError, ShapeError, UnsupportedError
        As of `pieces_of`.
    """
    _check(reset, x, layer)
    flags: Tensor = (
        reset if isinstance(reset, Tensor) else reset.values if isinstance(reset, Ragged) else reset.data
    )
    flags = flags.contiguous().flatten()
    # ONNX has no views of another dtype.
    return flags.to(torch.int8) if torch.compiler.is_compiling() else flags.view(torch.int8)


def flags_of_step(reset: Any, streams: tuple[int, ...], layer: str) -> Tensor:
    """Return the flags of a step of streams (B,), or of one, ().

    Raises
    ------
    InputTypeError, ShapeError
        As of `pieces_of`.
    """
    if isinstance(reset, bool):
        reset = torch.tensor(reset)
    _check_bool(reset, layer)
    if reset.shape != streams:
        raise ShapeError(
            f"{layer}.step: reset has shape {tuple(reset.shape)}, expected {tuple(streams)}, one flag "
            "for each stream"
        )
    flags: Tensor = reset
    return flags


def reversed_flags(reset: Ragged) -> Ragged:
    """Return the flags of reversed sequences that have the same boundaries."""
    flags, offsets = reset.values.flatten(), reset.layout.offsets
    before = torch.cat((flags[1:], flags.new_zeros(min(1, len(flags)))))
    ends = offsets[1:][offsets.diff() > 0] - 1
    return reset.with_values(before.index_fill(0, ends, value=False)).reverse()


def takes_reset(layer: torch.nn.Module) -> bool:
    """Tell whether the call of a layer has an argument ``reset``."""
    return "reset" in inspect.signature(layer.forward).parameters


def check_takes_reset(layer: torch.nn.Module, inside: str) -> None:
    """Raise an error for a layer that takes no reset flags.

    Raises
    ------
    InputTypeError
        If its call has no argument ``reset``.
    """
    if not takes_reset(layer):
        raise InputTypeError(
            f"{inside} got reset flags, but {type(layer).__name__} takes none: its call has no argument "
            "reset; use recurrent layers of throughtime.nn, or split sequences before the call"
        )


def _check(reset: Any, x: Input, layer: str) -> None:
    """Check that flags fit the input."""
    if isinstance(x, Tensor):
        _check_kind(reset, Tensor, layer)
        _check_flags(reset, tuple(x.shape[:2] if x.dim() > 2 else x.shape[:1]), layer)
    elif isinstance(x, Ragged):
        _check_kind(reset, Ragged, layer)
        _check_flags(reset.values, (x.values.shape[0],), layer)
        if not reset.layout.same_as(x.layout):
            raise ShapeError(
                f"{layer}: reset has lengths {reset.lengths.tolist()[:8]}, expected those of the input, "
                f"{x.lengths.tolist()[:8]}"
            )
    else:
        _check_kind(reset, PackedSequence, layer)
        _check_flags(reset.data, (x.data.shape[0],), layer)
        if not (_equal(reset.batch_sizes, x.batch_sizes) and _equal(reset.sorted_indices, x.sorted_indices)):
            raise ShapeError(
                f"{layer}: reset has other batch sizes or another order of sequences than the input; pack "
                "both with the same lengths"
            )


def _check_kind(reset: Any, kind: type, layer: str) -> None:
    if not isinstance(reset, kind):
        raise InputTypeError(
            f"{layer}: reset is {_described(reset)}, expected a {kind.__name__} of bool, as the input is a "
            f"{kind.__name__}"
        )


def _check_flags(flags: Tensor, tokens: tuple[int, ...], layer: str) -> None:
    _check_bool(flags, layer)
    if flags.shape not in (tokens, (*tokens, 1)):  # no set, as sizes of a graph have no hash
        raise ShapeError(
            f"{layer}: reset has shape {tuple(flags.shape)}, expected {tokens}, one flag for each token"
        )


def _check_bool(flags: Any, layer: str) -> None:
    if not isinstance(flags, Tensor):
        raise InputTypeError(f"{layer}: reset is {_described(flags)}, expected a Tensor of bool")
    if flags.dtype != torch.bool:
        raise InputTypeError(
            f"{layer}: reset is {flags.dtype}, expected torch.bool, one flag for each token; compare first, "
            "such as done > 0.5"
        )
    if torch._C._functorch.is_batchedtensor(flags):  # noqa: SLF001
        raise UnsupportedError(
            f"{layer}: vmap maps over reset flags, but all mapped batches need the same ones; map over "
            "values only (in_dims=None for flags)"
        )


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return type(value).__name__


def _of_tensor(reset: Tensor, x: Tensor, *, batch_first: bool) -> tuple[np.ndarray[Any, Any], Integers]:
    """Return flags sequence after sequence, and offsets."""
    length, batch = (x.shape[0], 1) if x.dim() == 2 else x.shape[:2]
    flags = host_array(reset).reshape(length, batch)
    if batch_first and x.dim() > 2:
        length, batch = batch, length
    else:
        flags = flags.T
    return flags, np.arange(batch + 1) * length


def _cut(flags: np.ndarray[Any, Any], offsets: Integers, device: torch.device) -> Pieces:
    """Cut at flags, sequence after sequence, the sequences that begin at offsets (B + 1,)."""
    flagged = np.flatnonzero(flags)
    # Of sequences that begin at one row the last, which has tokens.
    sequence = np.searchsorted(offsets, flagged, side="right") - 1
    at_first = offsets[sequence] == flagged
    cuts = ~at_first
    bounds = np.concatenate((offsets, flagged[cuts]))
    bounds.sort()
    first = np.arange(len(offsets))
    first[1:] += np.cumsum(np.bincount(sequence[cuts], minlength=len(offsets) - 1))
    return Pieces(offsets, bounds, first, sequence[at_first], device)
