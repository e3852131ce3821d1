"""`Ragged`: sequences of unequal length, laid end to end; the one type that flows through throughtime."""

import copy
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.ragged import _arrow, _doors, _index, _tensor, _time
from throughtime.ragged._layout import Layout, checked_layout, checked_lengths

if TYPE_CHECKING:
    import pyarrow as pa


def _of(values: Tensor, layout: Layout) -> "Ragged":
    """Make a batch behind the doors: nothing is checked again."""
    return Ragged(values, layout.offsets, layout=layout)


def _binary(function: Callable[[Any, Any], Any]) -> "Callable[[Ragged, Any], Ragged]":
    def method(self: "Ragged", other: Any) -> "Ragged":
        result: Ragged = _tensor.tokenwise(function, Ragged, _of, self, other)
        return result

    return method


def _reflected(function: Callable[[Any, Any], Any]) -> "Callable[[Ragged, Any], Ragged]":
    def method(self: "Ragged", other: Any) -> "Ragged":
        result: Ragged = _tensor.tokenwise(function, Ragged, _of, other, self)
        return result

    return method


def _unary(function: Callable[[Any], Any]) -> "Callable[[Ragged], Ragged]":
    def method(self: "Ragged") -> "Ragged":
        result: Ragged = _tensor.tokenwise(function, Ragged, _of, self)
        return result

    return method


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Ragged:
    r"""A batch of B sequences laid end to end, T tokens in all. Nothing is padded.

    Sequence ``b`` is ``values[offsets[b]:offsets[b + 1]]``. Zero-length sequences and empty batches are
    ordinary. It is the "varlen" layout of attention kernels and the list layout of Apache Arrow.

    A batch acts as a tensor in every operation that treats each token alike (pointwise operations,
    ``Linear``, ``Embedding``, ``LayerNorm``, ``BatchNorm1d``, dropout, activations, losses per token);
    all others are refused by name, with what to call instead. Batches that meet in an operation must
    have the same offsets. It is frozen, and a pytree with the leaves ``values`` and ``offsets``.

    Parameters
    ----------
    values : Tensor
        (T, \*D), any dtype and device. Not copied.
    offsets : Tensor
        (B + 1,) int64 on the same device: 0 first, never decreasing, T last. Not copied.

    Raises
    ------
    InputTypeError
        If an argument is not a tensor, or offsets have another dtype or device.
    ShapeError
        If offsets do not describe ``values``.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.tensor([1., 2., 3.]), torch.tensor([]), torch.tensor([4.])])
    >>> x
    Ragged(lengths=[3, 0, 1], features=(), dtype=float32)
    >>> (2 * x).to_list()
    [tensor([2., 4., 6.]), tensor([]), tensor([8.])]
    """

    values: Tensor
    offsets: Tensor
    if TYPE_CHECKING:
        # No field, so that the batches of `dataclasses.replace` come from outside and are checked.
        layout: Layout

    def __init__(self, values: Tensor, offsets: Tensor, *, layout: Layout | None = None) -> None:
        if layout is None or layout.offsets is not offsets:  # not behind a door, where it is checked already
            if not isinstance(values, Tensor) or values.dim() == 0:
                kind = "a single number" if isinstance(values, Tensor) else type(values).__name__
                raise InputTypeError(f"values must be a tensor (T, *features), got {kind}")
            layout = checked_layout(offsets, values.shape[0], values.device)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "layout", layout)

    # What comes from outside, as from torch.load, is checked again.
    def __reduce__(self) -> "tuple[type[Ragged], tuple[Tensor, Tensor]]":
        return Ragged, (self.values, self.offsets)

    def __copy__(self) -> "Ragged":
        return _of(self.values, self.layout)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Ragged":
        if memo.get(id(self.values)) is self.values:
            return _Unfilled.like(self)
        return _unflatten(copy.deepcopy([self.values, self.offsets], memo), None)

    # ---------------------------------------------------------------- doors in

    @classmethod
    def empty(
        cls,
        *feature_shape: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Ragged":
        """Return a batch of no sequences, whose tokens would have this feature shape."""
        values = torch.empty(0, *feature_shape, dtype=dtype, device=device)
        return _of(values, Layout(torch.zeros(1, dtype=torch.int64, device=values.device)))

    @classmethod
    def from_list(cls, sequences: Sequence[Tensor]) -> "Ragged":
        r"""Make a batch of tensors (length, \*D) of one feature shape, dtype and device.

        Raises
        ------
        ShapeError
            If the list is empty (see `empty`) or feature shapes differ.
        InputTypeError
            If an element is not a tensor, or dtypes or devices differ.
        """
        return _of(*_doors.from_list(sequences))

    @classmethod
    def from_lengths(cls, values: Tensor, lengths: Tensor | Sequence[int]) -> "Ragged":
        r"""Make a batch of values (T, \*D) and the B lengths that add up to T."""
        host = checked_lengths(lengths)
        if not isinstance(values, Tensor) or values.dim() == 0:
            raise InputTypeError("values must be a tensor (T, *features)")
        if int(host.sum()) != values.shape[0]:
            raise ShapeError(f"lengths add up to {int(host.sum())}, but there are {values.shape[0]} values")
        return _of(values, Layout.from_lengths(host, values.device))

    @classmethod
    def from_padded(
        cls,
        padded: Tensor,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
        batch_first: bool = True,
    ) -> "Ragged":
        r"""Take the real tokens out of a padded batch.

        Parameters
        ----------
        padded : Tensor
            (B, L, \*D), or (L, B, \*D) if not ``batch_first``.
        lengths : Tensor or sequence of int
            (B,): the first ``lengths[b]`` steps of row b are real.
        mask : Tensor
            bool, of the first two dimensions of ``padded``: True where a token is real. Padding may stand
            before or behind the tokens of a row, not between them.
        batch_first : bool
            Which of the first two dimensions is the batch.

        Raises
        ------
        ShapeError
            If lengths or mask do not fit, or a row of the mask has padding between its tokens.
        """
        return _of(*_doors.from_padded(padded, lengths, mask, batch_first=batch_first))

    @classmethod
    def from_packed(cls, packed: PackedSequence) -> "Ragged":
        """Undo `torch.nn.utils.rnn.pack_padded_sequence`; sequences return in their first order."""
        return _of(*_doors.from_packed(packed))

    @classmethod
    def from_nested(cls, nested: Tensor) -> "Ragged":
        r"""Take a nested tensor of layout `torch.jagged`, (B, j, \*D); copied only if it has holes."""
        return _of(*_doors.from_nested(nested))

    @classmethod
    def from_arrow(cls, array: object) -> "Ragged":
        """Take an Arrow list array of numbers (or of fixed-size lists of them), without copying values.

        Any object with Arrow's C data interface is accepted. Needs pyarrow.

        Raises
        ------
        InputTypeError
            If it is not a list array of numbers.
        ShapeError
            If there are nulls.
        """
        return _of(*_arrow.from_arrow(array))

    # --------------------------------------------------------------- doors out

    def to_list(self) -> list[Tensor]:
        r"""Return the B sequences as views (length, \*D)."""
        return list(torch.split(self.values, self.lengths.tolist())) if len(self) else []

    def to_padded(
        self, padding_value: float = 0.0, *, length: int | None = None, batch_first: bool = True
    ) -> Tensor:
        r"""Return (B, L, \*D), each row filled up at its end; L is the longest, or ``length``."""
        return _doors.to_padded(self.values, self.layout, padding_value, length, batch_first=batch_first)

    def mask(self) -> Tensor:
        """Return (B, longest) bool: True where `to_padded` has a real token."""
        steps = torch.arange(self.longest, device=self.device)
        return steps < self.offsets.diff()[:, None]

    def to_packed(self) -> PackedSequence:
        """Return torch's packed form, which can hold neither zero-length sequences nor an empty batch."""
        return _doors.to_packed(self.values, self.layout)

    def to_nested(self) -> Tensor:
        """Return a nested tensor of layout `torch.jagged` on the same storage."""
        return _doors.to_nested(self.values, self.layout)

    def to_arrow(self) -> "pa.LargeListArray":
        """Return an Arrow ``large_list`` array; in host memory and without a copy if values are there."""
        return _arrow.to_arrow(self.values, self.layout)

    # -------------------------------------------------------------- what it is

    @property
    def lengths(self) -> Tensor:
        """(B,) int64 in host memory: the tokens of each sequence."""
        return self.layout.lengths

    @property
    def longest(self) -> int:
        """The length of the longest sequence, 0 for an empty batch."""
        return self.layout.longest

    @property
    def device(self) -> torch.device:
        """Where values and offsets are."""
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def shape(self) -> torch.Size:
        r"""The shape of the values, (T, \*D)."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions of the values."""
        return self.values.dim()

    @property
    def requires_grad(self) -> bool:
        """Whether the values require a gradient."""
        return self.values.requires_grad

    def dim(self) -> int:
        """Return the number of dimensions of the values."""
        return self.values.dim()

    @overload
    def size(self) -> torch.Size: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> torch.Size | int:
        """Return the shape of the values, or one entry of it."""
        return self.values.shape if dim is None else self.values.shape[dim]

    def numel(self) -> int:
        """Return the number of elements of the values."""
        return self.values.numel()

    def is_floating_point(self) -> bool:
        """Tell whether the values are of a floating dtype."""
        return self.values.is_floating_point()

    def sequence_ids(self) -> Tensor:
        """Return (T,) int64: the sequence that each token belongs to."""
        return self.layout.sequence_ids

    def positions(self) -> Tensor:
        """Return (T,) int64: the time step of each token within its sequence, from 0."""
        return self.layout.positions

    def __len__(self) -> int:
        return len(self.layout)

    def __bool__(self) -> bool:
        raise UnsupportedError(
            "the truth value of a Ragged is ambiguous; use len(x) > 0, or x.values.any() / .all()"
        )

    def __float__(self) -> float:
        raise UnsupportedError("a Ragged is not one number; use x.values.item() for that of one token")

    __int__ = __complex__ = __float__

    def __repr__(self) -> str:
        shown = self.lengths[:8].tolist()
        more = f", … {len(self)} sequences" if len(self) > 8 else ""
        features = tuple(self.values.shape[1:])
        extra = "" if self.device.type == "cpu" else f", device={self.device}"
        extra += ", requires_grad=True" if self.requires_grad else ""
        lengths = ", ".join(map(str, shown))
        return (
            f"Ragged(lengths=[{lengths}{more}], features={features}, "
            f"dtype={str(self.dtype).removeprefix('torch.')}{extra})"
        )

    # ------------------------------------------------- selecting and combining

    def with_values(self, values: Tensor) -> "Ragged":
        r"""Return a batch of the same offsets with other values (T, \*any)."""
        if not isinstance(values, Tensor) or values.dim() == 0 or values.shape[0] != self.values.shape[0]:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ShapeError(f"with_values needs {self.values.shape[0]} tokens along dim 0, got {got}")
        layout = self.layout.to(values.device)
        return _of(values, layout)

    def spread(self, per_sequence: Tensor) -> "Ragged":
        r"""Repeat one row per sequence, (B, \*F), over the tokens of that sequence: (T, \*F)."""
        if per_sequence.dim() == 0 or per_sequence.shape[0] != self.layout.num_sequences:
            raise ShapeError(
                f"spread needs one row for each of {len(self)} sequences, got {tuple(per_sequence.shape)}"
            )
        return self.with_values(per_sequence.index_select(0, self.layout.sequence_ids))

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: tuple[Any, ...]) -> Any: ...
    @overload
    def __getitem__(self, index: "Ragged") -> Tensor: ...
    @overload
    def __getitem__(self, index: slice | Tensor | Sequence[int] | Sequence[bool]) -> "Ragged": ...
    def __getitem__(self, index: Any) -> Any:
        r"""Index as the tensor (B, L, \*D) that the padded batch would be, without its padding.

        ========================  ==========================================================================
        index                     what it gives
        ========================  ==========================================================================
        ``x[i]``                  sequence i, Tensor (length, \*D); then any index of a tensor: ``x[i, t]``
        ``x[rows]``               Ragged of the sequences of a slice, indices (repeats allowed) or a mask
        ``x[rows, a:b]``          Ragged, every sequence cut by this slice
        ``x[rows, t]``            Tensor (B', \*D), step t of each sequence, −1 its last
        ``x[:, steps]``           Tensor (B, n, \*D), the same steps of each sequence
        ``x[rows, steps]``        Tensor (n, \*D): pairs, if both are indices
        ``x[..., d]``             Ragged of these features; ``x[..., None]`` gives them a dimension more
        ``x[mask]``               Tensor (n, \*D) of the tokens where a Ragged of bool is True, (n,) of the
                                  elements if it has features
        ========================  ==========================================================================

        Raises
        ------
        IndexError
            If a sequence has no such step, or there is no such sequence.
        InputTypeError
            If an index is of another kind.
        UnsupportedError
            If a tensor's result has no place in a ragged batch; the message names what to use.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> x = tt.Ragged.from_list([torch.tensor([1., 2., 3.]), torch.tensor([4., 5.])])
        >>> x[0, 1], x[:, -1], x[:, 1:].to_list(), x[x > 2]
        (tensor(2.), tensor([3., 5.]), [tensor([2., 3.]), tensor([5.])], tensor([3., 4., 5.]))
        """
        if isinstance(index, int) and not isinstance(index, bool):
            start, end = _index.bounds(self.layout, index)
            return self.values[start:end]
        if isinstance(index, Ragged):
            return self._masked(index)
        found = _index.indexed(self.values, self.layout, index)
        return found if isinstance(found, Tensor) else _of(*found)

    def _masked(self, mask: "Ragged") -> Tensor:
        if mask.dtype != torch.bool:
            raise InputTypeError(
                f"a Ragged that selects is a mask of bool, got {mask.dtype}; compare it first, as in x[y > 0]"
            )
        if not self.layout.same_as(mask.layout):
            raise ShapeError("the mask has other lengths than the batch; it needs the same offsets")
        return self.values[mask.values]

    def __setitem__(self, index: object, value: object) -> None:
        raise UnsupportedError(
            "a Ragged is not assigned to; make another with torch.where(mask, x, y), x.with_values(values) "
            "or Ragged.from_list of the changed sequences"
        )

    def __contains__(self, element: object) -> bool:
        several = isinstance(element, Ragged) or (isinstance(element, Tensor) and element.dim() != 0)
        found: object = None if several else self == element
        if not isinstance(found, Ragged):
            raise UnsupportedError(
                "`in` looks for one number among all values; use any(torch.equal(sequence, s) for s in x) "
                "to look for a sequence"
            )
        return bool(found.values.any())

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.to_list())

    @staticmethod
    def cat(batches: "Sequence[Ragged]") -> "Ragged":
        """Put the sequences of several batches side by side: (B1 + B2 + …) sequences.

        Raises
        ------
        ShapeError
            If there are no batches, or feature shapes differ.
        InputTypeError
            If dtypes or devices differ.
        """
        batches = _checked_batches(batches, "cat")
        lengths = torch.cat([batch.lengths for batch in batches])
        values = torch.cat([batch.values for batch in batches])
        return _of(values, Layout.from_lengths(lengths, values.device))

    def split(self, sizes: int | Sequence[int]) -> "list[Ragged]":
        """Cut the batch into batches of so many sequences each; the inverse of `cat`."""
        return [_of(v, lay) for v, lay in _time.split(self.values, self.layout, sizes)]

    @staticmethod
    def cat_time(batches: "Sequence[Ragged]") -> "Ragged":
        """Append batches of the same B in time: sequence b is the b-th of each, one after the other."""
        batches = _checked_batches(batches, "cat_time")
        for i, batch in enumerate(batches):
            if batch.layout.num_sequences != batches[0].layout.num_sequences:
                raise ShapeError(
                    f"cat_time needs batches of as many sequences, got {len(batches[0])} in batch 0 "
                    f"and {len(batch)} in batch {i}"
                )
        parts = [(batch.values, batch.layout) for batch in batches]
        return _of(*_time.cat_time(parts))

    def split_time(self, steps: int | Tensor | Sequence[int]) -> "tuple[Ragged, Ragged]":
        """Cut every sequence in time: its first ``steps`` tokens (all, if shorter), and the rest.

        ``steps`` is one number, or one per sequence. The inverse of `cat_time`.
        """
        head, tail = _time.split_time(self.values, self.layout, steps)
        return _of(*head), _of(*tail)

    def reverse(self) -> "Ragged":
        """Reverse every sequence in time; twice is the identity."""
        return _of(self.values.index_select(0, self.layout.reversal), self.layout)

    # ------------------------------------------------------------ dtype, device

    def to(self, *args: Any, **kwargs: Any) -> "Ragged":
        """Convert as `torch.Tensor.to` does; offsets stay int64 and follow to the device."""
        values = self.values.to(*args, **kwargs)
        layout = self.layout.to(values.device, non_blocking=bool(kwargs.get("non_blocking", False)))
        return _of(values, layout)

    def float(self) -> "Ragged":
        """Convert the values to float32."""
        return self.to(torch.float32)

    def double(self) -> "Ragged":
        """Convert the values to float64."""
        return self.to(torch.float64)

    def cpu(self) -> "Ragged":
        """Move to host memory."""
        return self.to("cpu")

    def cuda(self, device: torch.device | int | str = "cuda") -> "Ragged":
        """Move to a CUDA device."""
        return self.to(torch.device("cuda", device) if isinstance(device, int) else device)

    def detach(self) -> "Ragged":
        """Return the same values without their history."""
        return _of(self.values.detach(), self.layout)

    def clone(self) -> "Ragged":
        """Copy the values; offsets are shared, as nothing changes them."""
        return _of(self.values.clone(), self.layout)

    def contiguous(self) -> "Ragged":
        """Return values that are contiguous in memory."""
        return _of(self.values.contiguous(), self.layout)

    def requires_grad_(self, mode: bool = True) -> "Ragged":  # noqa: FBT001, FBT002 - torch's signature
        """Ask for gradients of the values, in place, as torch's method of that name."""
        self.values.requires_grad_(mode)
        return self

    def pin_memory(self) -> "Ragged":
        """Copy to page-locked memory, from which transfers to a device need not wait."""
        return _of(self.values.pin_memory(), Layout(self.offsets.pin_memory(), total=self.layout.total))

    def is_pinned(self) -> bool:
        """Tell whether the values are in page-locked memory."""
        return self.values.is_pinned()

    # ---------------------------------------------------------- acts as a tensor

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _tensor.dispatch(func, cls, _of, args, kwargs or {})

    def __array__(self, *args: object, **kwargs: object) -> Any:
        raise UnsupportedError(
            "a Ragged is no array, as its sequences differ in length; use x.values.numpy() for all tokens, "
            "x.to_padded().numpy(), or x.to_list()"
        )

    # numpy then leaves `array + x` to the batch, and refuses its own functions of it.
    __array_ufunc__ = None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(Tensor, name):
            function = callable(getattr(torch, name, None))
            call = f"call torch.{name}(x, ...), which acts on the tokens or says what to use instead, or "
            raise AttributeError(
                f"Ragged has no {name!r}; {call if function else 'use '}x.values.{name} for the plain tensor"
            )
        raise AttributeError(f"Ragged has no attribute {name!r}")

    def __matmul__(self, other: object) -> Any:
        raise UnsupportedError(_tensor.refusal("matmul"))

    __rmatmul__ = __matmul__

    __hash__ = object.__hash__
    __eq__ = _binary(operator.eq)  # type: ignore[assignment]
    __ne__ = _binary(operator.ne)  # type: ignore[assignment]
    __lt__ = _binary(operator.lt)
    __le__ = _binary(operator.le)
    __gt__ = _binary(operator.gt)
    __ge__ = _binary(operator.ge)
    __add__ = _binary(operator.add)
    __radd__ = _reflected(operator.add)
    __sub__ = _binary(operator.sub)
    __rsub__ = _reflected(operator.sub)
    __mul__ = _binary(operator.mul)
    __rmul__ = _reflected(operator.mul)
    __truediv__ = _binary(operator.truediv)
    __rtruediv__ = _reflected(operator.truediv)
    __floordiv__ = _binary(operator.floordiv)
    __rfloordiv__ = _reflected(operator.floordiv)
    __mod__ = _binary(operator.mod)
    __rmod__ = _reflected(operator.mod)
    __pow__ = _binary(operator.pow)
    __rpow__ = _reflected(operator.pow)
    __and__ = _binary(operator.and_)
    __rand__ = _reflected(operator.and_)
    __or__ = _binary(operator.or_)
    __ror__ = _reflected(operator.or_)
    __xor__ = _binary(operator.xor)
    __rxor__ = _reflected(operator.xor)
    __neg__ = _unary(operator.neg)
    __abs__ = _unary(operator.abs)
    __invert__ = _unary(operator.invert)


@_tensor.implements(torch.equal)
def _equal(x: Ragged, other: object) -> bool:
    return (
        isinstance(other, Ragged) and x.layout.same_as(other.layout) and torch.equal(x.values, other.values)
    )


@_tensor.implements(torch.allclose)
def _allclose(x: Ragged, *args: Any, **kwargs: Any) -> bool:
    isclose: Callable[..., Any] = torch.isclose  # torch's stubs know nothing of __torch_function__
    return bool(isclose(x, *args, **kwargs).values.all())


def _checked_batches(batches: Sequence[Ragged], name: str) -> list[Ragged]:
    batches = list(batches)
    if not batches:
        raise ShapeError(f"{name} got no batches; give at least one")
    first = batches[0]
    for i, batch in enumerate(batches):
        if not isinstance(batch, Ragged):
            raise InputTypeError(f"{name} takes Ragged batches, but number {i} is a {type(batch).__name__}")
        if batch.shape[1:] != first.shape[1:]:
            raise ShapeError(
                f"{name}: batch {i} has features of shape {tuple(batch.shape[1:])}, batch 0 of "
                f"{tuple(first.shape[1:])}; they must agree"
            )
        if batch.dtype != first.dtype or batch.device != first.device:
            raise InputTypeError(
                f"{name}: batch {i} is {batch.dtype} on {batch.device}, batch 0 {first.dtype} on "
                f"{first.device}; convert them with .to() first"
            )
    return batches


class _Unfilled(Ragged):
    """A copy whose fields are about to be set, in their order; then it is an ordinary batch.

    `lightning_utilities.apply_to_collection`, by which Lightning's precisions and torchmetrics map over
    dataclasses, asks `copy.deepcopy` to keep the very fields, and sets them afterwards.
    """

    @classmethod
    def like(cls, ragged: Ragged) -> "_Unfilled":
        copied = object.__new__(cls)
        vars(copied).update(vars(ragged))
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        vars(self)[name] = value
        if name == "offsets":
            if value is not self.layout.offsets:
                vars(self).update(vars(_unflatten([self.values, self.offsets], None)))
            object.__setattr__(self, "__class__", Ragged)


def _flatten(ragged: Ragged) -> tuple[list[Tensor], None]:
    return [ragged.values, ragged.offsets], None


def _unflatten(leaves: Any, context: None) -> Ragged:  # noqa: ARG001 - pytree's protocol
    values, offsets = leaves
    # A tree may hold anything while it is mapped over (specs, shapes, other devices): nothing is checked.
    total = values.shape[0] if isinstance(values, Tensor) and values.dim() else None
    layout = Layout(offsets, total=total)
    return Ragged(values, layout.offsets, layout=layout)


def _flatten_with_keys(ragged: Ragged) -> tuple[list[tuple[Any, Any]], None]:
    leaves, context = _flatten(ragged)
    keys = (pytree.GetAttrKey("values"), pytree.GetAttrKey("offsets"))
    return list(zip(keys, leaves, strict=True)), context


pytree.register_pytree_node(
    Ragged,
    _flatten,
    _unflatten,
    serialized_type_name="throughtime.Ragged",
    flatten_with_keys_fn=_flatten_with_keys,
)
# torch.load then reads a batch by default: making one runs no code but its checks.
torch.serialization.add_safe_globals([Ragged])
