"""`Ragged`: a batch of concatenated sequences of unequal length, the data type of all layers."""

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
from throughtime.ragged import _arrow, _conversions, _index, _tensor, _time
from throughtime.ragged._layout import Layout, checked_layout, checked_lengths

if TYPE_CHECKING:
    import pyarrow as pa


def _unchecked(values: Tensor, layout: Layout) -> "Ragged":
    """Return a batch without checking values and layout."""
    return Ragged(values, layout.offsets, layout=layout)


def _binary(function: Callable[[Any, Any], Any]) -> "Callable[[Ragged, Any], Ragged]":
    def method(self: "Ragged", other: Any) -> "Ragged":
        result: Ragged = _tensor.tokenwise(function, Ragged, _unchecked, self, other)
        return result

    return method


def _reflected(function: Callable[[Any, Any], Any]) -> "Callable[[Ragged, Any], Ragged]":
    def method(self: "Ragged", other: Any) -> "Ragged":
        result: Ragged = _tensor.tokenwise(function, Ragged, _unchecked, other, self)
        return result

    return method


def _unary(function: Callable[[Any], Any]) -> "Callable[[Ragged], Ragged]":
    def method(self: "Ragged") -> "Ragged":
        result: Ragged = _tensor.tokenwise(function, Ragged, _unchecked, self)
        return result

    return method


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Ragged:
    r"""A batch of B concatenated sequences with T tokens in total, without padding.

    Sequence ``b`` is ``values[offsets[b]:offsets[b + 1]]``. Zero-length sequences and empty batches are
    supported. The layout is that of "varlen" attention kernels and of lists in Apache Arrow.

    A batch behaves as a tensor in operations that treat all tokens alike (pointwise operations, ``Linear``,
    ``Embedding``, ``LayerNorm``, ``BatchNorm1d``, dropout, activations, losses per token); all others raise
    an error that gives an alternative. Batches in one operation must have the same offsets. The class is
    immutable, and a pytree with the leaves ``values`` and ``offsets``.

    Parameters
    ----------
    values : Tensor
        (T, \*D), any dtype and device. Not copied.
    offsets : Tensor
        (B + 1,) int64 on the same device, from 0 to T, not decreasing. Not copied.

    Raises
    ------
    InputTypeError
        If an argument is not a tensor, or offsets have another dtype or device.
    ShapeError
        If offsets do not match ``values``.

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
        # Not a field, so that `dataclasses.replace` checks its arguments.
        layout: Layout

    def __init__(self, values: Tensor, offsets: Tensor, *, layout: Layout | None = None) -> None:
        if layout is None or layout.offsets is not offsets:  # else the caller has checked them
            if not isinstance(values, Tensor) or values.dim() == 0:
                kind = "a single number" if isinstance(values, Tensor) else type(values).__name__
                raise InputTypeError(f"values must be a tensor (T, *features), got {kind}")
            layout = checked_layout(offsets, values.shape[0], values.device)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "layout", layout)

    # Unpickling, as in torch.load, checks the arguments.
    def __reduce__(self) -> "tuple[type[Ragged], tuple[Tensor, Tensor]]":
        return Ragged, (self.values, self.offsets)

    def __copy__(self) -> "Ragged":
        return _unchecked(self.values, self.layout)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Ragged":
        if memo.get(id(self.values)) is self.values:
            return _Unfilled.like(self)
        return _unflatten(copy.deepcopy([self.values, self.offsets], memo), None)

    # ------------------------------------------------------------ constructors

    @classmethod
    def empty(
        cls,
        *feature_shape: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> "Ragged":
        """Return a batch of no sequences, with the given feature shape of tokens."""
        values = torch.empty(0, *feature_shape, dtype=dtype, device=device)
        return _unchecked(values, Layout(torch.zeros(1, dtype=torch.int64, device=values.device)))

    @classmethod
    def from_list(cls, sequences: Sequence[Tensor]) -> "Ragged":
        r"""Create a batch from tensors (length, \*D) of equal feature shape, dtype and device.

        Raises
        ------
        ShapeError
            If the list is empty (see `empty`) or feature shapes differ.
        InputTypeError
            If an element is not a tensor, or dtypes or devices differ.
        """
        return _unchecked(*_conversions.from_list(sequences))

    @classmethod
    def from_lengths(cls, values: Tensor, lengths: Tensor | Sequence[int]) -> "Ragged":
        r"""Create a batch from concatenated values (T, \*D) and B lengths that add up to T."""
        host = checked_lengths(lengths)
        if not isinstance(values, Tensor) or values.dim() == 0:
            kind = "a single number" if isinstance(values, Tensor) else type(values).__name__
            raise InputTypeError(f"values must be a tensor (T, *features), got {kind}")
        if int(host.sum()) != values.shape[0]:
            raise ShapeError(f"lengths add up to {int(host.sum())}, but there are {values.shape[0]} values")
        return _unchecked(values, Layout.from_lengths(host, values.device))

    @classmethod
    def from_padded(
        cls,
        padded: Tensor,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
        batch_first: bool = True,
    ) -> "Ragged":
        r"""Create a batch from a padded one.

        Parameters
        ----------
        padded : Tensor
            (B, L, \*D), or (L, B, \*D) if not ``batch_first``.
        lengths : Tensor or sequence of int
            (B,): number of real tokens at the start of each row.
        mask : Tensor
            bool, with the first two dimensions of ``padded``: True for real tokens. Padding may be before or
            after the tokens of a row, not between them.
        batch_first : bool
            Whether the first dimension is the batch; if False, the second is.

        Raises
        ------
        ShapeError
            If lengths or mask do not match, or a row of the mask has padding between its tokens.
        """
        return _unchecked(*_conversions.from_padded(padded, lengths, mask, batch_first=batch_first))

    @classmethod
    def from_packed(cls, packed: PackedSequence) -> "Ragged":
        """Create a batch from a packed sequence, with the sequences in their order before packing."""
        return _unchecked(*_conversions.from_packed(packed))

    @classmethod
    def from_nested(cls, nested: Tensor) -> "Ragged":
        r"""Create a batch from a jagged nested tensor, (B, j, \*D); copied only if it has gaps."""
        return _unchecked(*_conversions.from_nested(nested))

    @classmethod
    def from_arrow(cls, array: object) -> "Ragged":
        """Create a batch from an Arrow list array of numbers or fixed-size lists, without copying values.

        Any object with Arrow's C data interface is accepted. Requires pyarrow.

        Raises
        ------
        InputTypeError
            If it is not a list array of numbers.
        ShapeError
            If it has nulls.
        """
        return _unchecked(*_arrow.from_arrow(array))

    # ------------------------------------------------------------- conversions

    def to_list(self) -> list[Tensor]:
        r"""Return the B sequences as views (length, \*D)."""
        return list(torch.split(self.values, self.lengths.tolist())) if len(self) else []

    def to_padded(
        self, padding_value: float = 0.0, *, length: int | None = None, batch_first: bool = True
    ) -> Tensor:
        r"""Return the padded batch (B, L, \*D); L is the longest length, or ``length``."""
        return _conversions.to_padded(
            self.values, self.layout, padding_value, length, batch_first=batch_first
        )

    def mask(self) -> Tensor:
        """Return a mask (B, L) bool of the real tokens in the result of `to_padded`."""
        steps = torch.arange(self.longest, device=self.device)
        return steps < self.offsets.diff()[:, None]

    def to_packed(self) -> PackedSequence:
        """Return a packed sequence, which supports neither zero-length sequences nor an empty batch."""
        return _conversions.to_packed(self.values, self.layout)

    def to_nested(self) -> Tensor:
        """Return a nested tensor of layout `torch.jagged` that shares the storage."""
        return _conversions.to_nested(self.values, self.layout)

    def to_arrow(self) -> "pa.LargeListArray":
        """Return an Arrow ``large_list`` array; values on the CPU are not copied."""
        return _arrow.to_arrow(self.values, self.layout)

    # -------------------------------------------------------------- properties

    @property
    def lengths(self) -> Tensor:
        """(B,) int64 on the CPU: the number of tokens in each sequence."""
        return self.layout.lengths

    @property
    def longest(self) -> int:
        """The length of the longest sequence, 0 for an empty batch."""
        return self.layout.longest

    @property
    def device(self) -> torch.device:
        """The device of values and offsets."""
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
        """Return whether the values have a floating-point dtype."""
        return self.values.is_floating_point()

    def sequence_ids(self) -> Tensor:
        """Return (T,) int64: the index of the sequence of each token."""
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
        raise UnsupportedError(
            "a Ragged cannot be converted to a number; use x.values.item() for a single one"
        )

    __int__ = __complex__ = __float__

    def __repr__(self) -> str:
        shown = self.lengths[:8].tolist()
        ellipsis = f", … {len(self)} sequences" if len(self) > 8 else ""
        features = tuple(self.values.shape[1:])
        extra = "" if self.device.type == "cpu" else f", device={self.device}"
        extra += ", requires_grad=True" if self.requires_grad else ""
        lengths = ", ".join(map(str, shown))
        return (
            f"Ragged(lengths=[{lengths}{ellipsis}], features={features}, "
            f"dtype={str(self.dtype).removeprefix('torch.')}{extra})"
        )

    # ------------------------------------------------- selecting and combining

    def with_values(self, values: Tensor) -> "Ragged":
        r"""Return a batch with the same offsets and other values (T, \*any)."""
        if not isinstance(values, Tensor) or values.dim() == 0 or values.shape[0] != self.values.shape[0]:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ShapeError(f"with_values needs {self.values.shape[0]} tokens along dim 0, got {got}")
        layout = self.layout.to(values.device)
        return _unchecked(values, layout)

    def spread(self, per_sequence: Tensor) -> "Ragged":
        r"""Repeat the row of each sequence in a tensor (B, \*F) for all of its tokens: (T, \*F)."""
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
        r"""Index as the padded batch (B, L, \*D), without its padding.

        ========================  ==========================================================================
        index                     result
        ========================  ==========================================================================
        ``x[i]``                  sequence i, Tensor (length, \*D); further entries index it: ``x[i, t]``
        ``x[rows]``               Ragged of the sequences of a slice, indices (repeats allowed) or a mask
        ``x[rows, a:b]``          Ragged with this slice of every sequence
        ``x[rows, t]``            Tensor (B', \*D), step t of each sequence, −1 its last
        ``x[:, steps]``           Tensor (B, n, \*D), the same steps of each sequence
        ``x[rows, steps]``        Tensor (n, \*D): pairs, if both are indices
        ``x[..., d]``             Ragged of these features; ``x[..., None]`` adds a feature dimension
        ``x[mask]``               Tensor (n, \*D) of the tokens where a Ragged of bool is True, (n,) of the
                                  elements if it has features
        ========================  ==========================================================================

        Raises
        ------
        IndexError
            If a sequence or step is out of range.
        InputTypeError
            If an entry is not an index.
        UnsupportedError
            If the result cannot be a ragged batch; the message gives an alternative.

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
        result = _index.indexed(self.values, self.layout, index)
        return result if isinstance(result, Tensor) else _unchecked(*result)

    def _masked(self, mask: "Ragged") -> Tensor:
        if mask.dtype != torch.bool:
            raise InputTypeError(
                f"a Ragged as an index must be bool, got {mask.dtype}; compare it first, as in x[y > 0]"
            )
        if not self.layout.same_as(mask.layout):
            raise ShapeError(
                "the mask has other lengths than the batch; give a mask with the same offsets, as from x > 0"
            )
        return self.values[mask.values]

    def __setitem__(self, index: object, value: object) -> None:
        raise UnsupportedError(
            "a Ragged is immutable; create a new one with torch.where(mask, x, y), x.with_values(values) "
            "or Ragged.from_list"
        )

    def __contains__(self, element: object) -> bool:
        several = isinstance(element, Ragged) or (isinstance(element, Tensor) and element.dim() != 0)
        equal: object = None if several else self == element
        if not isinstance(equal, Ragged):
            raise UnsupportedError(
                "`in` supports a single number only; use any(torch.equal(sequence, s) for s in x) to search "
                "for a sequence"
            )
        return bool(equal.values.any())

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.to_list())

    @staticmethod
    def cat(batches: "Sequence[Ragged]") -> "Ragged":
        """Concatenate the sequences of several batches to a batch of B1 + B2 + … sequences.

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
        return _unchecked(values, Layout.from_lengths(lengths, values.device))

    def split(self, sizes: int | Sequence[int]) -> "list[Ragged]":
        """Split the batch into batches with ``sizes`` sequences; the inverse of `cat`."""
        return [_unchecked(v, lay) for v, lay in _time.split(self.values, self.layout, sizes)]

    @staticmethod
    def cat_time(batches: "Sequence[Ragged]") -> "Ragged":
        """Concatenate batches of B sequences in time: the b-th sequences of all batches are concatenated."""
        batches = _checked_batches(batches, "cat_time")
        for i, batch in enumerate(batches):
            if batch.layout.num_sequences != batches[0].layout.num_sequences:
                raise ShapeError(
                    f"cat_time needs batches with the same number of sequences, got {len(batches[0])} in "
                    f"batch 0 and {len(batch)} in batch {i}"
                )
        parts = [(batch.values, batch.layout) for batch in batches]
        return _unchecked(*_time.cat_time(parts))

    def split_time(self, steps: int | Tensor | Sequence[int]) -> "tuple[Ragged, Ragged]":
        """Split every sequence in time: its first ``steps`` tokens (all, if shorter) and its remaining ones.

        ``steps`` is a number, or one per sequence. The inverse of `cat_time`.
        """
        head, tail = _time.split_time(self.values, self.layout, steps)
        return _unchecked(*head), _unchecked(*tail)

    def reverse(self) -> "Ragged":
        """Reverse every sequence in time; twice is the identity."""
        return _unchecked(self.values.index_select(0, self.layout.reversal), self.layout)

    # ------------------------------------------------------------ dtype, device

    def to(self, *args: Any, **kwargs: Any) -> "Ragged":
        """Convert the values as `torch.Tensor.to`; offsets stay int64 and are moved to the same device."""
        values = self.values.to(*args, **kwargs)
        layout = self.layout.to(values.device, non_blocking=bool(kwargs.get("non_blocking", False)))
        return _unchecked(values, layout)

    def float(self) -> "Ragged":
        """Convert the values to float32."""
        return self.to(torch.float32)

    def double(self) -> "Ragged":
        """Convert the values to float64."""
        return self.to(torch.float64)

    def cpu(self) -> "Ragged":
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self, device: torch.device | int | str = "cuda") -> "Ragged":
        """Move to a CUDA device."""
        return self.to(torch.device("cuda", device) if isinstance(device, int) else device)

    def detach(self) -> "Ragged":
        """Return a batch whose values are detached from the graph."""
        return _unchecked(self.values.detach(), self.layout)

    def clone(self) -> "Ragged":
        """Return a copy of the values with the same offsets."""
        return _unchecked(self.values.clone(), self.layout)

    def contiguous(self) -> "Ragged":
        """Return a batch whose values are contiguous in memory."""
        return _unchecked(self.values.contiguous(), self.layout)

    def requires_grad_(self, mode: bool = True) -> "Ragged":  # noqa: FBT001, FBT002 - torch's signature
        """Set whether the values require gradients, in place, as `torch.Tensor.requires_grad_`."""
        self.values.requires_grad_(mode)
        return self

    def pin_memory(self) -> "Ragged":
        """Copy to page-locked memory, for asynchronous transfers to a device."""
        return _unchecked(
            self.values.pin_memory(), Layout(self.offsets.pin_memory(), total=self.layout.total)
        )

    def is_pinned(self) -> bool:
        """Return whether the values are in page-locked memory."""
        return self.values.is_pinned()

    # --------------------------------------------------------- tensor interface

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _tensor.dispatch(func, cls, _unchecked, args, kwargs or {})

    def __array__(self, *args: object, **kwargs: object) -> Any:
        raise UnsupportedError(
            "a Ragged cannot be converted to an array, as its sequences differ in length; use "
            "x.values.numpy() for all tokens, x.to_padded().numpy(), or x.to_list()"
        )

    # numpy then returns NotImplemented for `array + x`, and raises TypeError in its own functions.
    __array_ufunc__ = None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(Tensor, name):
            function = callable(getattr(torch, name, None))
            call = f"call torch.{name}(x, ...), which supports a Ragged or gives an alternative, or "
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
    isclose: Callable[..., Any] = torch.isclose  # the stubs of torch do not include __torch_function__
    return bool(isclose(x, *args, **kwargs).values.all())


def _checked_batches(batches: Sequence[Ragged], name: str) -> list[Ragged]:
    batches = list(batches)
    if not batches:
        raise ShapeError(f"{name} got no batches; give at least one")
    first = batches[0]
    for i, batch in enumerate(batches):
        if not isinstance(batch, Ragged):
            raise InputTypeError(f"{name} takes Ragged batches, but batch {i} is a {type(batch).__name__}")
        if batch.shape[1:] != first.shape[1:]:
            raise ShapeError(
                f"{name}: batch {i} has feature shape {tuple(batch.shape[1:])}, but batch 0 has "
                f"{tuple(first.shape[1:])}; they must agree"
            )
        if batch.dtype != first.dtype or batch.device != first.device:
            raise InputTypeError(
                f"{name}: batch {i} is {batch.dtype} on {batch.device}, but batch 0 is {first.dtype} on "
                f"{first.device}; convert them with .to() first"
            )
    return batches


class _Unfilled(Ragged):
    """A copy whose fields can be set once, in their order; setting ``offsets`` turns it into a `Ragged`.

    `lightning_utilities.apply_to_collection`, which Lightning and torchmetrics use to map over dataclasses,
    copies the instance with `copy.deepcopy`, keeping its fields, and sets them afterwards.
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
    # Leaves can be any objects while a pytree is mapped (specs, shapes), so nothing is checked.
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
# So torch.load with weights_only=True can load a batch: its constructor only checks the arguments.
torch.serialization.add_safe_globals([Ragged])
