"""The operators that compute each row independently, so that they can run for all tokens at once."""

import operator
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import fx

from throughtime.ops.program.tracing.errors import UntraceableError, UntraceableNodeError
from throughtime.ops.program.tracing.source import VARYING, Source, described, is_tensor, operator_name

# Row-wise unless one of their dimensions, which their schema names, is that of the rows.
_ALONG_DIMENSIONS = frozenset(
    [
        "sum",
        "mean",
        "amax",
        "amin",
        "var",
        "var_mean",
        "std",
        "prod",
        "any",
        "all",
        "max",
        "min",
        "argmax",
        "argmin",
        "norm",
        "linalg_vector_norm",
        "logsumexp",
        "_softmax",
        "_log_softmax",
        "softmax",
        "log_softmax",
        "cumsum",
        "cumprod",
        "logcumsumexp",
        "sort",
        "topk",
        "gather",
        "index_select",
        "cat",
        "stack",
        "split",
        "split_with_sizes",
        "unsafe_split",
        "unbind",
        "select",
        "squeeze",
        "flip",
        "roll",
        "glu",
    ]
)
# They never mix rows: the checks of shapes in `check_row_wise` are all that is needed.
_ALWAYS = frozenset(
    [
        "_to_copy",
        "clone",
        "detach",
        "alias",
        "lift_fresh",
        "lift_fresh_copy",
        "contiguous",
        "permute",
        "t",
        "transpose",
        "unsqueeze",
        "expand",
        "broadcast_to",
        "constant_pad_nd",
        "copy",
        "full",
        "full_like",
        "zeros",
        "zeros_like",
        "ones",
        "ones_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "empty",
        "empty_like",
        "scalar_tensor",
        "fill",
        "masked_fill",
    ]
)


def check_row_wise(source: Source, node: fx.Node) -> None:
    """Refuse a node that is to be computed for many rows at once, and would mix them."""
    name = operator_name(node)
    if (
        "added" in node.meta
        or node.op != "call_function"
        or node.target is operator.getitem
        or not is_tensor_result(node)
    ):
        return
    mixed = f"{described(node)} mixes sequences"
    if isinstance(node.meta["val"], torch.Tensor) and not _has_rows(source, node):
        raise UntraceableNodeError(mixed)
    pointwise = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags  # noqa: SLF001
    if pointwise or name in _ALWAYS:
        return
    if name in _ALONG_DIMENSIONS:
        alone = _keeps_rows(source, node)
    elif name in _RULES:
        alone = _RULES[name](source, node)
    else:
        raise UntraceableNodeError(f"{described(node)} is not known to compute each sequence independently")
    if not alone:
        raise UntraceableNodeError(mixed)


def _has_rows(source: Source, node: fx.Node) -> bool:
    try:
        return None in source.sizes(node)[0]
    except UntraceableError:  # among more than one dimension
        return False


def is_tensor_result(node: fx.Node) -> bool:
    """Tell whether a node computes tensors."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor | tuple | list)


def _position(source: Source, node: Any) -> int | None:
    """Return which dimension of an argument is that of the rows, None of a constant."""
    if not is_tensor(node) or not source.dependence(node) & VARYING:
        return None
    sizes, _ = source.sizes(node)
    return sizes.index(None)


def _arguments(node: fx.Node) -> dict[str, Any]:
    schema: Any = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001
    defaults = {part.name: part.default_value for part in schema if part.has_default_value()}
    positional = dict(zip((part.name for part in schema), node.args, strict=False))
    return {**defaults, **positional, **node.kwargs}


def _keeps_rows(source: Source, node: fx.Node) -> bool:
    arguments = _arguments(node)
    dims = arguments.get("dim", arguments.get("dims", 0))
    dims = dims if isinstance(dims, list | tuple) else [dims]
    for argument in node.all_input_nodes:
        position = _position(source, argument)
        if position is not None:
            rank = argument.meta["val"].dim()
            if not dims or any(dim is None or dim % rank == position for dim in dims):
                return False
    return True


def _slice(source: Source, node: fx.Node) -> bool:
    dim = _arguments(node).get("dim", 0)
    return dim % node.meta["val"].dim() != _position(source, node.args[0]) or bool(
        node.meta["val"].shape == node.args[0].meta["val"].shape  # type: ignore[union-attr]
    )


def _view(source: Source, node: fx.Node) -> bool:
    before, after = (source.sizes(part)[0] for part in (node.args[0], node))  # type: ignore[arg-type]
    return _sizes_before_rows(before) == _sizes_before_rows(after)


def _sizes_before_rows(sizes: tuple[int | None, ...]) -> int:
    return prod(size or 0 for size in sizes[: sizes.index(None)])


def _mm(source: Source, node: fx.Node) -> bool:
    a, b = (_position(source, part) for part in node.args[-2:])
    return (a, b) in {(0, None), (None, 1)}


def _bmm(source: Source, node: fx.Node) -> bool:
    a, b = (_position(source, part) for part in node.args[-2:])
    return (a, b) in {(0, 0), (0, None), (1, None), (None, 0), (None, 2)}


def _linear(source: Source, node: fx.Node) -> bool:
    position = _position(source, node.args[0])
    return _position(source, node.args[1]) is None and position != node.args[0].meta["val"].dim() - 1  # type: ignore[union-attr]


def _first(source: Source, node: fx.Node) -> bool:
    return _position(source, node.args[0]) == 0


def _mv(source: Source, node: fx.Node) -> bool:
    return _first(source, node) and _position(source, node.args[1]) is None


def _repeat(source: Source, node: fx.Node) -> bool:
    repeats: Any = node.args[1]
    added = len(repeats) - node.args[0].meta["val"].dim()  # type: ignore[union-attr]
    return bool(repeats[added + (_position(source, node.args[0]) or 0)] == 1)


def _triangle(source: Source, node: fx.Node) -> bool:
    position = _position(source, node.args[0])
    return position is not None and position < node.meta["val"].dim() - 2


def _embedding(source: Source, node: fx.Node) -> bool:
    return _position(source, node.args[0]) is None


def _layer_norm(source: Source, node: fx.Node) -> bool:
    position = _position(source, node.args[0])
    return position is not None and position < node.args[0].meta["val"].dim() - len(node.args[1])  # type: ignore[arg-type, union-attr]


def _index(source: Source, node: fx.Node) -> bool:
    position = _position(source, node.args[0])
    indices: Any = node.args[1]
    return position is None or position >= len(indices) or indices[position] is None


def _batch_norm(source: Source, node: fx.Node) -> bool:
    return _first(source, node) and not node.args[5]


_RULES: dict[str, Callable[[Source, fx.Node], bool]] = {
    "slice": _slice,
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), _view),
    **dict.fromkeys(("mm", "addmm"), _mm),
    **dict.fromkeys(("bmm", "baddbmm"), _bmm),
    "linear": _linear,
    "mv": _mv,
    "repeat": _repeat,
    **dict.fromkeys(("tril", "triu"), _triangle),
    "embedding": _embedding,
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), _layer_norm),
    **dict.fromkeys(
        (
            "native_group_norm",
            "convolution",
            "max_pool2d_with_indices",
            "avg_pool2d",
            "_native_batch_norm_legit_no_training",
        ),
        _first,
    ),
    "native_batch_norm": _batch_norm,
    "index": _index,
}
