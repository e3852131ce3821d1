"""Conversions to and from list arrays of Apache Arrow; pyarrow is imported when they are called.

Arrow's list offsets are int32 or int64 and need not start at 0, so they are converted and shifted. Values of
a numeric list array are not copied (DLPack). Gradients do not pass through Arrow.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged._layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa


def from_arrow(array: Any) -> tuple[Tensor, Layout]:
    """Convert a list array: ``list<number>`` or ``list<fixed_size_list<number>[D]>``, with any nesting."""
    import pyarrow as pa

    array = _as_array(array)
    if not _is_list(array.type) and not pa.types.is_fixed_size_list(array.type):
        raise InputTypeError(f"from_arrow takes a list array, got {array.type}; wrap one sequence in a list")
    _refuse_nulls(array)
    if pa.types.is_fixed_size_list(array.type):
        size = array.type.list_size
        lengths = torch.full((len(array),), size, dtype=torch.int64)
        return _numbers(array.flatten()), Layout.from_lengths(lengths, torch.device("cpu"))
    offsets = torch.from_numpy(array.offsets.to_numpy(zero_copy_only=False).astype("int64"))
    start, end = int(offsets[0]), int(offsets[-1])
    return _numbers(array.values.slice(start, end - start)), Layout(offsets - start)


def to_arrow(values: Tensor, layout: Layout) -> "pa.LargeListArray":
    """Return a ``large_list`` array whose elements are numbers or fixed-size lists of numbers."""
    import pyarrow as pa

    if values.requires_grad:
        raise InputTypeError("values require gradients, which Arrow does not support; call .detach() first")
    if values.dtype == torch.bfloat16:
        raise InputTypeError("values are bfloat16, which Arrow does not support; convert with .float() first")
    host = values.cpu().contiguous()
    numbers = pa.array(host.reshape(-1).numpy())
    for size in reversed(values.shape[1:]):
        if size == 0:
            raise ShapeError(
                f"Arrow does not support feature shape {tuple(values.shape[1:])}; sizes must be at least 1"
            )
        numbers = pa.FixedSizeListArray.from_arrays(numbers, size)
    return pa.LargeListArray.from_arrays(pa.array(layout.host_offsets.numpy()), numbers)


def _as_array(source: Any) -> "pa.Array":
    import pyarrow as pa

    if isinstance(source, pa.ChunkedArray):
        return source.combine_chunks()
    if isinstance(source, pa.Array):
        return source
    if hasattr(source, "__arrow_c_stream__"):
        return pa.chunked_array(source).combine_chunks()
    if hasattr(source, "__arrow_c_array__"):
        return pa.array(source)
    raise InputTypeError(
        f"from_arrow takes an Arrow array, got {type(source).__name__}; convert it, for example with "
        "pyarrow.array"
    )


def _numbers(array: "pa.Array") -> Tensor:
    """Return an array as a tensor, with one dimension for each level of fixed-size lists."""
    import pyarrow as pa

    shape = [len(array)]
    while pa.types.is_fixed_size_list(array.type):
        _refuse_nulls(array)
        shape.append(array.type.list_size)
        array = array.flatten()
    _refuse_nulls(array)
    if pa.types.is_boolean(array.type):
        return torch.tensor(array.to_numpy(zero_copy_only=False), dtype=torch.bool).reshape(shape)
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise InputTypeError(
            f"from_arrow takes lists of numbers, got elements of {array.type}; "
            "only fixed-size lists may be nested in a list"
        )
    if not len(array):
        return torch.from_numpy(array.to_numpy(zero_copy_only=False).copy()).reshape(shape)
    return from_dlpack(array).reshape(shape)


def _refuse_nulls(array: "pa.Array") -> None:
    if array.null_count:
        row = array.is_null().index(True).as_py()
        raise ShapeError(
            f"{array.null_count} nulls in {array.type}, the first at row {row}; "
            "fill them (fill_null) or drop them (drop_null) first"
        )


def _is_list(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
