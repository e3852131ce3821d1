"""Operators of torch as nodes of ONNX, by name, for functions that are recorded."""

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from throughtime.export._function import Recorder

MISSING = "missing: "
"""In place of a value that has no form in ONNX here: an error only where a result depends on it."""

Node = Callable[..., str | list[str]]


def _node(kind: str) -> Callable[..., str]:
    def add(recorder: "Recorder", *args: Any) -> str:
        like = next((arg for arg in args if isinstance(arg, Tensor) and arg.dtype != torch.bool), None)
        return recorder.graph.add(kind, *(recorder.value(arg, like) for arg in args))

    return add


def _sum(kind: str) -> Callable[..., str]:
    def add(recorder: "Recorder", x: Any, other: Any, *, alpha: float = 1) -> str:
        like = x if isinstance(x, Tensor) else other
        scaled = recorder.value(other, like)
        if alpha != 1:
            scaled = recorder.graph.add("Mul", scaled, recorder.value(alpha, like))
        return recorder.graph.add(kind, recorder.value(x, like), scaled)

    return add


def _difference_from(recorder: "Recorder", x: Tensor, other: Any, alpha: float = 1) -> str:
    return _sum("Sub")(recorder, other, x, alpha=alpha)


def _affine(recorder: "Recorder", bias: Tensor, x: Tensor, weight: Tensor) -> str:
    return recorder.product(x, weight, bias)


def _product(recorder: "Recorder", x: Tensor, weight: Tensor) -> str:
    return recorder.product(x, weight)


def _embedding(recorder: "Recorder", weight: Tensor, indices: Tensor, *options: Any) -> str:
    del options  # they are for training
    return recorder.graph.add("Gather", recorder.value(weight), recorder.value(indices), axis=0)


def _along(kind: str) -> Callable[..., str]:
    """Return softmax or its logarithm along a dimension."""

    def add(recorder: "Recorder", x: Tensor, dim: int, half_to_float: bool = False) -> str:  # noqa: FBT001, FBT002 - torch's
        del half_to_float
        return recorder.graph.add(kind, recorder.value(x), axis=dim)

    return add


def _reduced(kind: str) -> Callable[..., str]:
    """Return a reduction over dimensions."""

    def add(
        recorder: "Recorder",
        x: Tensor,
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,  # noqa: FBT001, FBT002 - torch's
        **options: Any,
    ) -> str:
        del options  # the dtype, which is that of x
        dims = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
        axes = recorder.graph.constant(dims or list(range(x.dim())))  # torch reduces all of none named
        return recorder.graph.add(kind, recorder.value(x), axes, keepdims=int(keepdim))

    return add


def _norm_along(
    recorder: "Recorder",
    x: Tensor,
    order: float,
    dim: Sequence[int],
    keepdim: bool = False,  # noqa: FBT001, FBT002 - torch's
    **options: Any,
) -> str:
    if order == 2:
        return _reduced("ReduceL2")(recorder, x, dim, keepdim, **options)
    if order == 1:
        return _reduced("ReduceL1")(recorder, x, dim, keepdim, **options)
    return f"{MISSING}aten::linalg_vector_norm of order {order}"


def _of_variance(root: bool) -> Callable[..., str]:  # noqa: FBT001 - two operators, one formula
    def add(
        recorder: "Recorder",
        x: Tensor,
        dim: Sequence[int] | None = None,
        *,
        correction: float | None = None,
        keepdim: bool = False,
    ) -> str:
        graph = recorder.graph
        dims = list(range(x.dim())) if dim is None else list(dim)
        axes, value = graph.constant(dims), recorder.value(x)
        centred = graph.add("Sub", value, graph.add("ReduceMean", value, axes, keepdims=1))
        total = graph.add("ReduceSumSquare", centred, axes, keepdims=int(keepdim))
        count = prod(x.shape[d] for d in dims) - (1 if correction is None else correction)
        variance = graph.add("Div", total, graph.number(count))
        return graph.add("Sqrt", variance) if root else variance

    return add


def _extreme(kind: str) -> Callable[..., list[str]]:
    """Return the largest or smallest value along a dimension, and its index."""

    def add(recorder: "Recorder", x: Tensor, dim: int, keepdim: bool = False) -> list[str]:  # noqa: FBT001, FBT002
        graph, value = recorder.graph, recorder.value(x)
        values = graph.add(f"Reduce{kind}", value, graph.constant([dim]), keepdims=int(keepdim))
        return [values, graph.add(f"Arg{kind}", value, axis=dim, keepdims=int(keepdim))]

    return add


def _index_of(kind: str) -> Callable[..., str]:
    def add(recorder: "Recorder", x: Tensor, dim: int | None = None, keepdim: bool = False) -> str:  # noqa: FBT001, FBT002
        if dim is None:
            return f"{MISSING}aten::arg{kind.lower()} without a dim"
        return recorder.graph.add(f"Arg{kind}", recorder.value(x), axis=dim, keepdims=int(keepdim))

    return add


# ------------------------------------------------------------------------------------------- activations


def _clamp(recorder: "Recorder", x: Tensor, low: Any = None, high: Any = None) -> str:
    bounds = ["" if bound is None else recorder.value(bound, x) for bound in (low, high)]
    return recorder.graph.add("Clip", recorder.value(x), *bounds)


def _hardtanh(recorder: "Recorder", x: Tensor, low: float = -1.0, high: float = 1.0) -> str:
    return _clamp(recorder, x, low, high)


def _elu(
    recorder: "Recorder", x: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> str:
    graph = recorder.graph
    if input_scale != 1:
        return f"{MISSING}aten::elu with an input scale"
    y = graph.add("Elu", recorder.value(x), alpha=float(alpha))
    return y if scale == 1 else graph.add("Mul", y, graph.number(scale))


def _leaky_relu(recorder: "Recorder", x: Tensor, slope: float = 0.01) -> str:
    return recorder.graph.add("LeakyRelu", recorder.value(x), alpha=float(slope))


def _softplus(recorder: "Recorder", x: Tensor, beta: float = 1, threshold: float = 20) -> str:
    del threshold  # where torch returns x itself, the difference is less than exp(−threshold)
    graph = recorder.graph
    if beta == 1:
        return graph.add("Softplus", recorder.value(x))
    scaled = graph.add("Softplus", graph.add("Mul", recorder.value(x), graph.number(beta)))
    return graph.add("Div", scaled, graph.number(beta))


def _log_sigmoid(recorder: "Recorder", x: Tensor) -> list[str]:
    graph = recorder.graph
    negative = graph.add("Softplus", graph.add("Neg", recorder.value(x)))
    return [graph.add("Neg", negative), f"{MISSING}the buffer of aten::log_sigmoid_forward"]


def _gelu(recorder: "Recorder", x: Tensor, *, approximate: str = "none") -> str:
    """Return x Φ(x), of which "tanh" approximates Φ."""
    graph, value = recorder.graph, recorder.value(x)
    if approximate == "tanh":
        cube = graph.add("Mul", graph.add("Mul", value, value), value)
        inner = graph.add("Add", value, graph.add("Mul", cube, graph.number(0.044715)))
        inner = graph.add("Tanh", graph.add("Mul", inner, graph.number(sqrt(2 / np.pi))))
    else:
        inner = graph.add("Erf", graph.add("Mul", value, graph.number(sqrt(0.5))))
    half = graph.add("Mul", value, graph.number(0.5))
    return graph.add("Mul", half, graph.add("Add", inner, graph.number(1.0)))


def _silu(recorder: "Recorder", x: Tensor) -> str:
    value = recorder.value(x)
    return recorder.graph.add("Mul", value, recorder.graph.add("Sigmoid", value))


def _mish(recorder: "Recorder", x: Tensor) -> str:
    graph, value = recorder.graph, recorder.value(x)
    return graph.add("Mul", value, graph.add("Tanh", graph.add("Softplus", value)))


def _celu(recorder: "Recorder", x: Tensor, alpha: float = 1.0) -> str:
    return recorder.graph.add("Celu", recorder.value(x), alpha=float(alpha))


def _hardsigmoid(recorder: "Recorder", x: Tensor) -> str:
    return recorder.graph.add("HardSigmoid", recorder.value(x), alpha=1 / 6, beta=0.5)


def _hardswish(recorder: "Recorder", x: Tensor) -> str:
    return recorder.graph.add("Mul", recorder.value(x), _hardsigmoid(recorder, x))


def _glu(recorder: "Recorder", x: Tensor, dim: int = -1) -> str:
    graph = recorder.graph
    through, gate = graph.add_all("Split", recorder.value(x), outputs=2, axis=dim, num_outputs=2)
    return graph.add("Mul", through, graph.add("Sigmoid", gate))


def _threshold(recorder: "Recorder", x: Tensor, threshold: float, other: float) -> str:
    graph, value = recorder.graph, recorder.value(x)
    above = graph.add("Greater", value, graph.number(threshold))
    return graph.add("Where", above, value, graph.number(other))


def _shrink(*, soft: bool) -> Callable[..., str]:
    def add(recorder: "Recorder", x: Tensor, width: float = 0.5) -> str:
        bias = float(width) if soft else 0.0
        return recorder.graph.add("Shrink", recorder.value(x), lambd=float(width), bias=bias)

    return add


def _square(recorder: "Recorder", x: Tensor) -> str:
    value = recorder.value(x)
    return recorder.graph.add("Mul", value, value)


def _power(recorder: "Recorder", x: Tensor, exponent: Any) -> str:
    return _square(recorder, x) if exponent == 2 else _node("Pow")(recorder, x, exponent)


def _inverse_root(recorder: "Recorder", x: Tensor) -> str:
    return recorder.graph.add("Reciprocal", recorder.graph.add("Sqrt", recorder.value(x)))


def _log_of_more_than_one(recorder: "Recorder", x: Tensor) -> str:
    graph = recorder.graph
    return graph.add("Log", graph.add("Add", recorder.value(x), graph.number(1.0)))


def _exp_less_one(recorder: "Recorder", x: Tensor) -> str:
    graph = recorder.graph
    return graph.add("Sub", graph.add("Exp", recorder.value(x)), graph.number(1.0))


def _binary_cross_entropy(
    recorder: "Recorder",
    x: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    positive: Tensor | None = None,
    reduction: int = 1,
) -> str:
    """Return max(x, 0) − x y + log(1 + exp(−|x|))."""
    if weight is not None or positive is not None or reduction != 0:
        return f"{MISSING}aten::binary_cross_entropy_with_logits with weights or a reduction"
    graph, value = recorder.graph, recorder.value(x)
    product = graph.add("Mul", value, recorder.value(targets))
    rest = graph.add("Softplus", graph.add("Neg", graph.add("Abs", value)))
    return graph.add("Add", graph.add("Sub", graph.add("Relu", value), product), rest)


def _not_equal(recorder: "Recorder", x: Any, other: Any) -> str:
    return recorder.graph.add("Not", _node("Equal")(recorder, x, other))


# ------------------------------------------------------------------------------------------------ shapes


def _split(recorder: "Recorder", x: Tensor, size: int, dim: int = 0) -> list[str]:
    parts = -(-x.shape[dim] // size)
    if x.shape[dim] % size:
        sizes = recorder.graph.constant([size] * (parts - 1) + [x.shape[dim] % size])
        return recorder.graph.add_all("Split", recorder.value(x), sizes, outputs=parts, axis=dim)
    if parts == 1:
        return [recorder.value(x)]
    return recorder.graph.add_all("Split", recorder.value(x), outputs=parts, axis=dim, num_outputs=parts)


def _split_sizes(recorder: "Recorder", x: Tensor, sizes: Sequence[int], dim: int = 0) -> list[str]:
    if len(sizes) == 1:
        return [recorder.value(x)]
    constant = recorder.graph.constant(list(sizes))
    return recorder.graph.add_all("Split", recorder.value(x), constant, outputs=len(sizes), axis=dim)


def _unbound(recorder: "Recorder", x: Tensor, dim: int = 0) -> list[str]:
    return [_selected(recorder, x, dim, place) for place in range(x.shape[dim])]


def _selected(recorder: "Recorder", x: Tensor, dim: int, index: int) -> str:
    graph = recorder.graph
    return graph.add(
        "Gather", recorder.value(x), graph.constant(np.array(index, np.int64), f"index_{index}"), axis=dim
    )


def _sliced(
    recorder: "Recorder",
    x: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> str:
    graph = recorder.graph
    if dim == 0 and (start or 0) == 0 and (end is None or end >= x.shape[0]) and step == 1:
        return recorder.value(x)
    bounds = [start or 0, 2**31 - 1 if end is None else min(end, 2**31 - 1), dim, step]
    return graph.add("Slice", recorder.value(x), *(graph.constant([bound]) for bound in bounds))


def _concatenated(recorder: "Recorder", tensors: Sequence[Tensor], dim: int = 0) -> str:
    return recorder.graph.add("Concat", *(recorder.value(x) for x in tensors), axis=dim)


def _stack(recorder: "Recorder", tensors: Sequence[Tensor], dim: int = 0) -> str:
    graph = recorder.graph
    axis = graph.constant([dim])
    return graph.add("Concat", *(graph.add("Unsqueeze", recorder.value(x), axis) for x in tensors), axis=dim)


def _unsqueezed(recorder: "Recorder", x: Tensor, dim: int) -> str:
    return recorder.graph.add("Unsqueeze", recorder.value(x), recorder.graph.constant([dim]))


def _squeezed(recorder: "Recorder", x: Tensor, dim: int | Sequence[int]) -> str:
    dims = [d for d in ([dim] if isinstance(dim, int) else dim) if x.shape[d] == 1]
    return (
        recorder.graph.add("Squeeze", recorder.value(x), recorder.graph.constant(dims))
        if dims
        else recorder.value(x)
    )


def _viewed(recorder: "Recorder", x: Tensor, shape: Sequence[int]) -> str:
    """Return another shape, whose first dimension, that of rows, stays as it is."""
    if not shape or recorder.rows in shape[1:] or x.shape[0] != recorder.rows:
        return f"{MISSING}aten::view of more than the features of each row"
    return recorder.graph.reshaped(recorder.value(x), [0, *shape[1:]])


def _transposed(recorder: "Recorder", x: Tensor, first: int = 0, second: int = 1) -> str:
    order = list(range(x.dim()))
    order[first], order[second] = order[second], order[first]
    return recorder.graph.add("Transpose", recorder.value(x), perm=order)


def _permuted(recorder: "Recorder", x: Tensor, dims: Sequence[int]) -> str:
    return recorder.graph.add("Transpose", recorder.value(x), perm=[d % x.dim() for d in dims])


def _expanded(recorder: "Recorder", x: Tensor, shape: Sequence[int], **options: Any) -> str:
    """Return a tensor repeated along dimensions of size 1, of which the first, that of rows, is none."""
    del options
    sizes = [1, *shape[1:]] if x.dim() == len(shape) else list(shape)
    return recorder.graph.add("Expand", recorder.value(x), recorder.graph.constant([abs(s) for s in sizes]))


def _layer_norm(
    recorder: "Recorder",
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> list[str]:
    scale = torch.ones(tuple(shape), dtype=x.dtype) if weight is None else weight
    operands = [recorder.value(part) for part in (x, scale, bias) if part is not None]
    y = recorder.graph.add("LayerNormalization", *operands, axis=-len(shape), epsilon=eps)
    return [y, *[f"{MISSING}the statistics of aten::native_layer_norm"] * 2]


def _batch_norm(
    recorder: "Recorder",
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    training: bool,  # noqa: FBT001 - torch's
    momentum: float,
    eps: float,
) -> list[str]:
    del momentum
    if training:
        return [f"{MISSING}aten::native_batch_norm in training"] * 3
    parts = (
        torch.ones_like(mean) if weight is None else weight,
        torch.zeros_like(mean) if bias is None else bias,
    )
    operands = [recorder.value(part) for part in (x, *parts, mean, variance)]
    y = recorder.graph.add("BatchNormalization", *operands, epsilon=eps)
    return [y, *[f"{MISSING}the statistics of aten::native_batch_norm"] * 2]


def _zeros(recorder: "Recorder", x: Tensor, **options: Any) -> str:
    del options
    shape = recorder.graph.add("Shape", recorder.value(x))
    return recorder.graph.add("Expand", recorder.value(0.0 if x.is_floating_point() else 0, x), shape)


def _ones(recorder: "Recorder", x: Tensor, **options: Any) -> str:
    del options
    shape = recorder.graph.add("Shape", recorder.value(x))
    return recorder.graph.add("Expand", recorder.value(1.0 if x.is_floating_point() else 1, x), shape)


def _masked(recorder: "Recorder", x: Tensor, mask: Tensor, value: Any) -> str:
    return recorder.graph.add("Where", recorder.value(mask), recorder.value(value, x), recorder.value(x))


def _chosen(recorder: "Recorder", mask: Tensor, x: Any, other: Any) -> str:
    like = x if isinstance(x, Tensor) else other if isinstance(other, Tensor) else None
    return recorder.graph.add(
        "Where", recorder.value(mask), recorder.value(x, like), recorder.value(other, like)
    )


def _gathered(recorder: "Recorder", x: Tensor, dim: int, index: Tensor, **options: Any) -> str:
    del options
    return recorder.graph.add("GatherElements", recorder.value(x), recorder.value(index), axis=dim)


def _indexed(recorder: "Recorder", x: Tensor, dim: int, index: Tensor) -> str:
    return recorder.graph.add("Gather", recorder.value(x), recorder.value(index), axis=dim)


def _same(recorder: "Recorder", x: Tensor, *args: Any, **options: Any) -> str:
    del args, options
    return recorder.value(x)


def _cast(recorder: "Recorder", x: Tensor, dtype: torch.dtype | None = None, **options: Any) -> str:
    del options
    if dtype is None or dtype == x.dtype:
        return recorder.value(x)
    like = np.zeros(0, torch.empty(0, dtype=dtype).numpy().dtype)
    return recorder.graph.add(
        "CastLike", recorder.value(x), recorder.graph.constant(like, f"empty_{like.dtype}")
    )


# ------------------------------------------------------------------------------------------------ images


def _convolution(
    recorder: "Recorder",
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,  # noqa: FBT001 - torch's
    output_padding: Sequence[int],
    groups: int,
) -> str:
    del output_padding
    if transposed:
        return f"{MISSING}a transposed aten::convolution"
    operands = [recorder.value(part) for part in (x, weight, bias) if part is not None]
    return recorder.graph.add(
        "Conv",
        *operands,
        kernel_shape=list(weight.shape[2:]),
        strides=list(stride),
        pads=[*padding, *padding],
        dilations=list(dilation),
        group=groups,
    )


def _mean_pool(
    recorder: "Recorder",
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 - torch's
    count_include_pad: bool = True,  # noqa: FBT001, FBT002
    divisor: int | None = None,
) -> str:
    if ceil_mode or divisor is not None:
        return f"{MISSING}aten::avg_pool2d with ceil_mode or a divisor"
    return recorder.graph.add(
        "AveragePool",
        recorder.value(x),
        kernel_shape=list(size),
        strides=list(stride or size),
        pads=[*padding, *padding],
        count_include_pad=int(count_include_pad),
    )


def _max_pool(
    recorder: "Recorder",
    x: Tensor,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,  # noqa: FBT001, FBT002 - torch's
) -> list[str]:
    pooled = recorder.graph.add(
        "MaxPool",
        recorder.value(x),
        kernel_shape=list(size),
        strides=list(stride or size),
        pads=[*padding, *padding],
        dilations=list(dilation),
        ceil_mode=int(ceil_mode),
    )
    return [pooled, f"{MISSING}the indices of aten::max_pool2d_with_indices"]


_UNARY = (
    "abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "exp", "floor", "log", "neg", "reciprocal",
    "relu", "round", "sigmoid", "sign", "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip
_BINARY = {
    "mul": "Mul",
    "div": "Div",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "lt": "Less",
    "le": "LessOrEqual",
    "eq": "Equal",
}
_WITH = ("Tensor", "Scalar")

NODES: Mapping[str, Node] = {
    **{f"aten::{name}": _node(name.capitalize()) for name in _UNARY},
    **{f"aten::{name}.{other}": _node(kind) for name, kind in _BINARY.items() for other in _WITH},
    **{f"aten::add.{other}": _sum("Add") for other in _WITH},
    **{f"aten::sub.{other}": _sum("Sub") for other in _WITH},
    **{f"aten::rsub.{other}": _difference_from for other in _WITH},
    **{f"aten::ne.{other}": _not_equal for other in _WITH},
    **{f"aten::pow.Tensor_{other}": _power for other in _WITH},
    **{f"aten::masked_fill.{other}": _masked for other in _WITH},
    **{f"aten::where.{name}": _chosen for name in ("self", "ScalarOther", "ScalarSelf", "Scalar")},
    **{f"aten::{name}": _node("And") for name in ("logical_and", "bitwise_and.Tensor")},
    **{f"aten::{name}": _node("Or") for name in ("logical_or", "bitwise_or.Tensor")},
    **{f"aten::{name}": _node("Not") for name in ("logical_not", "bitwise_not")},
    **{f"aten::{name}": _same for name in ("alias", "clone", "contiguous", "detach", "lift_fresh")},
    **{f"aten::{name}": _viewed for name in ("view", "_unsafe_view", "reshape")},
    "aten::_log_softmax": _along("LogSoftmax"),
    "aten::_prelu_kernel": _node("PRelu"),
    "aten::_softmax": _along("Softmax"),
    "aten::_to_copy": _cast,
    "aten::addmm": _affine,
    "aten::amax": _reduced("ReduceMax"),
    "aten::amin": _reduced("ReduceMin"),
    "aten::argmax": _index_of("Max"),
    "aten::argmin": _index_of("Min"),
    "aten::avg_pool2d": _mean_pool,
    "aten::binary_cross_entropy_with_logits": _binary_cross_entropy,
    "aten::cat": _concatenated,
    "aten::celu": _celu,
    "aten::clamp": _clamp,
    "aten::clamp_max": lambda recorder, x, high: _clamp(recorder, x, None, high),
    "aten::clamp_min": _clamp,
    "aten::convolution": _convolution,
    "aten::elu": _elu,
    "aten::embedding": _embedding,
    "aten::expand": _expanded,
    "aten::expm1": _exp_less_one,
    "aten::gather": _gathered,
    "aten::gelu": _gelu,
    "aten::glu": _glu,
    "aten::hardshrink": _shrink(soft=False),
    "aten::hardsigmoid": _hardsigmoid,
    "aten::hardswish": _hardswish,
    "aten::hardtanh": _hardtanh,
    "aten::index_select": _indexed,
    "aten::leaky_relu": _leaky_relu,
    "aten::linalg_vector_norm": _norm_along,
    "aten::log1p": _log_of_more_than_one,
    "aten::log_sigmoid_forward": _log_sigmoid,
    "aten::logsumexp": _reduced("ReduceLogSumExp"),
    "aten::max.dim": _extreme("Max"),
    "aten::max_pool2d_with_indices": _max_pool,
    "aten::maximum": _node("Max"),
    "aten::mean.dim": _reduced("ReduceMean"),
    "aten::min.dim": _extreme("Min"),
    "aten::minimum": _node("Min"),
    "aten::mish": _mish,
    "aten::mm": _product,
    "aten::native_batch_norm": _batch_norm,
    "aten::native_layer_norm": _layer_norm,
    "aten::ones_like": _ones,
    "aten::permute": _permuted,
    "aten::rsqrt": _inverse_root,
    "aten::select.int": _selected,
    "aten::silu": _silu,
    "aten::slice.Tensor": _sliced,
    "aten::softplus": _softplus,
    "aten::softshrink": _shrink(soft=True),
    "aten::split.Tensor": _split,
    "aten::split_with_sizes": _split_sizes,
    "aten::square": _square,
    "aten::squeeze.dim": _squeezed,
    "aten::squeeze.dims": _squeezed,
    "aten::stack": _stack,
    "aten::std.correction": _of_variance(root=True),
    "aten::sum.dim_IntList": _reduced("ReduceSum"),
    "aten::t": _transposed,
    "aten::threshold": _threshold,
    "aten::transpose.int": _transposed,
    "aten::unbind.int": _unbound,
    "aten::unsafe_split.Tensor": _split,
    "aten::unsqueeze": _unsqueezed,
    "aten::var.correction": _of_variance(root=False),
    "aten::zeros_like": _zeros,
}
"""By the names of operators in torch; those that change their first argument in place have the same nodes."""
