"""The allow-list of torch functions that support `Ragged`, for ``__torch_function__``.

A function is listed only if it treats all tokens alike (the first dimension of ``values``), so that applying
it to ``values`` is correct, or if another package registers an implementation with `implements`. All others
raise an error that gives an alternative. This module uses values and layouts, not the class `Ragged`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.ragged._layout import Layout

# Elementwise functions, with broadcasting.
_POINTWISE = """
    abs acos acosh add addcdiv addcmul asin asinh atan atan2 atanh bernoulli bitwise_and
    bitwise_not bitwise_or bitwise_xor bool ceil celu clamp clamp_max clamp_min clone contiguous copysign
    cos cosh deg2rad detach div divide double elu elu_ eq erf erfc exp exp2 expm1 float
    floor floor_divide fmax fmin fmod frac ge gelu greater greater_equal gt half hardshrink hardsigmoid
    hardswish hardtanh hardtanh_ heaviside int isclose isfinite isinf isnan le leaky_relu leaky_relu_
    lerp less less_equal lgamma log log10 log1p log2 logaddexp logical_and logical_not logical_or
    logical_xor logit logsigmoid long lt masked_fill maximum minimum mish mul multiply nan_to_num ne neg
    negative not_equal pow rad2deg reciprocal relu relu6 relu_ remainder round rsqrt rsub selu
    selu_ sgn sigmoid sign silu sin sinh softplus softshrink softsign sqrt square sub subtract tan tanh
    tanhshrink threshold true_divide trunc where xlogy zeros_like ones_like empty_like full_like
    rand_like randn_like bfloat16
    __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __div__ __rdiv__
    __floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __and__ __rand__ __or__ __ror__ __xor__
    __rxor__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __neg__ __invert__ __abs__
""".split()  # noqa: SIM905 - a block of names reads better than a list of strings

_DROPOUTS = "alpha_dropout dropout rrelu".split()  # noqa: SIM905

# Functions of the features of a token, with parameters that have no token dimension.
_PER_TOKEN = "bilinear embedding layer_norm linear one_hot prelu rms_norm".split()  # noqa: SIM905

# Functions along a feature dimension: the position of ``dim`` and its default (None: required).
_ALONG_FEATURES: dict[str, tuple[int, int | None]] = {
    "all": (1, None),
    "amax": (1, None),
    "amin": (1, None),
    "any": (1, None),
    "argmax": (1, None),
    "argmin": (1, None),
    "argsort": (1, -1),
    "cat": (1, 0),
    "chunk": (2, 0),
    "concat": (1, 0),
    "concatenate": (1, 0),
    "cosine_similarity": (2, 1),
    "cumsum": (1, None),
    "flip": (1, None),
    "glu": (1, -1),
    "log_softmax": (1, None),
    "logsumexp": (1, None),
    "max": (1, None),
    "mean": (1, None),
    "min": (1, None),
    "normalize": (2, 1),
    "prod": (1, None),
    "softmax": (1, None),
    "softmin": (1, None),
    "sort": (1, -1),
    "split": (2, 0),
    "squeeze": (1, None),
    "stack": (1, 0),
    "std": (1, None),
    "sum": (1, None),
    "topk": (2, -1),
    "unbind": (1, 0),
    "unsqueeze": (1, None),
    "var": (1, None),
}
_ADDS_A_DIMENSION = ("stack", "unsqueeze")

# Losses per token: the mean or sum is over all tokens.
_LOSSES = """
    binary_cross_entropy binary_cross_entropy_with_logits cross_entropy huber_loss kl_div l1_loss mse_loss
    nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss
""".split()  # noqa: SIM905

# Alternatives to functions that would mix sequences, steps or padding.
_POOL = "throughtime.nn.Pool, or .values for all tokens of the batch as one tensor"
_CONV = "throughtime.nn.Conv1d, which does not cross the borders of sequences"
_PADDED = ".to_padded() for the padded batch, as the features of a token have no batch dimension"
_INSTEAD = {
    **dict.fromkeys(
        "max_pool1d avg_pool1d adaptive_max_pool1d adaptive_avg_pool1d lp_pool1d".split(),  # noqa: SIM905
        "throughtime.nn.MaxPool1d, AvgPool1d or Pool",
    ),
    **dict.fromkeys("conv1d conv2d conv3d conv_transpose1d unfold".split(), _CONV),  # noqa: SIM905
    **dict.fromkeys("rnn_tanh rnn_relu lstm gru".split(), "throughtime.nn.RNN, LSTM or GRU"),  # noqa: SIM905
    **dict.fromkeys(
        "dropout1d dropout2d dropout3d feature_dropout feature_alpha_dropout".split(),  # noqa: SIM905
        "torch.nn.Dropout, which drops single elements",
    ),
    **dict.fromkeys(
        "group_norm instance_norm local_response_norm".split(),  # noqa: SIM905
        "torch.nn.LayerNorm (per token) or torch.nn.BatchNorm1d (over all real tokens)",
    ),
    **dict.fromkeys(
        "reshape view permute transpose flatten t pad".split(),  # noqa: SIM905
        ".with_values(f(x.values)) if f keeps the first dimension of values",
    ),
    "scaled_dot_product_attention": ".to_nested() or .to_padded() for attention",
    "multi_head_attention_forward": ".to_nested() or .to_padded() for attention",
    "bmm": _PADDED,
    "matmul": "torch.nn.functional.linear(x, weight), or .values @ weight",
}


class RaggedLike(Protocol):
    """Protocol of a ragged batch in this module."""

    @property
    def values(self) -> Tensor: ...
    @property
    def layout(self) -> Layout: ...


# Types of the other operands of an operator.
_OPERANDS = (Tensor, int, float, complex, torch.SymInt, torch.SymFloat, torch.SymBool)

Wrap = Callable[[Tensor, Layout], Any]
_Function = Callable[..., Any]

# Functions with an implementation registered by `implements`.
IMPLEMENTED: dict[_Function, _Function] = {}


def implements(function: _Function) -> Callable[[_Function], _Function]:
    """Register the decorated function as ``function`` for a ragged batch as the first argument."""

    def register(implementation: _Function) -> _Function:
        IMPLEMENTED[function] = implementation
        return implementation

    return register


def _functions(names: Iterable[str], namespaces: Iterable[Any]) -> dict[_Function, str]:
    functions = {}
    for name in names:
        # Modules have __eq__ and similar methods, too.
        owners = [torch.Tensor] if name.startswith("__") else namespaces
        for owner in owners:
            function = getattr(owner, name, None)
            if callable(function):  # torch.float is a dtype, torch.Tensor.float a method
                functions[function] = name
    return functions


_EVERYWHERE = (torch, torch.Tensor, F, torch.special)
# torch has functions with some of these names but other arguments, so only torch.nn.functional is searched.
_KINDS: list[tuple[dict[_Function, str], str]] = [
    (_functions(_POINTWISE, _EVERYWHERE), "pointwise"),
    (_functions(_DROPOUTS, [F]), "pointwise"),
    (_functions(_PER_TOKEN, [F]), "per_token"),
    (_functions(_ALONG_FEATURES, _EVERYWHERE), "along_features"),
    (_functions(_LOSSES, [F]), "loss"),
]
ALLOWED: dict[_Function, tuple[str, str]] = {
    function: (kind, name) for functions, kind in _KINDS for function, name in functions.items()
}


def dispatch(
    function: _Function,
    ragged_type: type[RaggedLike],
    wrap: Wrap,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Apply an allowed torch function to the values of the ragged batches among its arguments.

    Parameters
    ----------
    function
        The function that ``__torch_function__`` receives.
    ragged_type
        The class of ragged batches.
    wrap
        Function that creates a ragged batch from values and a layout.
    args, kwargs
        Arguments of ``function``.

    Raises
    ------
    UnsupportedError
        If the function is not on the allow-list, or acts along the token dimension.
    ShapeError
        If batches have different offsets, or a tensor would be broadcast over tokens.
    """
    implementation = IMPLEMENTED.get(function)
    if implementation is not None and args and isinstance(args[0], ragged_type):
        return implementation(*args, **kwargs)
    kind, name = ALLOWED.get(function, ("", _name(function)))
    if not kind:
        raise UnsupportedError(refusal(name))
    leaves: list[Any]
    leaves, spec = pytree.tree_flatten((args, dict(kwargs)), is_leaf=lambda x: isinstance(x, ragged_type))
    raggeds = [leaf for leaf in leaves if isinstance(leaf, ragged_type)]
    layout = _shared_layout(raggeds, name)
    # From the values, not the layout, whose CPU copies torch.compile cannot trace.
    count = raggeds[0].values.shape[0]
    rank = max(ragged.values.dim() for ragged in raggeds)
    if kind in {"pointwise", "loss"}:
        _refuse_broadcast_over_tokens(leaves, ragged_type, rank, name, loss=kind == "loss")
    if kind == "along_features":
        _check_dim(name, args, kwargs, rank)
    if kind == "per_token":
        _refuse_parameters_over_tokens(name, args, kwargs, rank)
    if name == "where" and len(args) + len(kwargs) < 3:
        raise UnsupportedError(
            "torch.where with a condition only would return indices of all tokens of a Ragged; use "
            "torch.where(x.values), or x[mask] for the elements"
        )
    plain = [leaf.values if isinstance(leaf, ragged_type) else leaf for leaf in leaves]
    new_args, new_kwargs = pytree.tree_unflatten(plain, spec)
    result = function(*new_args, **new_kwargs)
    if kind == "loss" and _is_scalar(result):
        return result
    return _wrap_all(result, count, layout, wrap, name)


def tokenwise(function: _Function, ragged_type: type[RaggedLike], wrap: Wrap, *operands: Any) -> Any:
    """Apply a pointwise function that is not from torch, such as ``operator.add``."""
    raggeds: list[RaggedLike] = []
    plain: list[Any] = []
    for operand in operands:
        if isinstance(operand, ragged_type):
            raggeds.append(operand)
            plain.append(operand.values)
        elif isinstance(operand, _OPERANDS):
            plain.append(operand)
        elif isinstance(operand, np.generic):
            plain.append(operand.item())
        elif isinstance(operand, np.ndarray):
            name = _name(function)
            raise InputTypeError(
                f"{name}: got a Ragged and a numpy array; convert the array with torch.as_tensor(array)"
            )
        else:
            return NotImplemented
    layout = _shared_layout(raggeds, _name(function))
    rank = max(ragged.values.dim() for ragged in raggeds)
    _refuse_broadcast_over_tokens(operands, ragged_type, rank, _name(function))
    return wrap(function(*plain), layout)


def _shared_layout(raggeds: list[RaggedLike], name: str) -> Layout:
    layout = raggeds[0].layout
    for other in raggeds[1:]:
        if not layout.same_as(other.layout):
            raise ShapeError(
                f"{name}: the batches have different lengths, {_lengths(layout)} and "
                f"{_lengths(other.layout)}; token-wise operations need the same offsets"
            )
    return layout


def _refuse_broadcast_over_tokens(
    operands: Iterable[Any], ragged_type: type[RaggedLike], rank: int, name: str, *, loss: bool = False
) -> None:
    for operand in operands:
        if isinstance(operand, ragged_type):
            if operand.values.dim() != rank and not loss:
                raise ShapeError(
                    f"{name}: the batches have values with {rank} and {operand.values.dim()} dimensions; "
                    "add feature dimensions to the smaller one with torch.unsqueeze(x, -1)"
                )
        elif isinstance(operand, Tensor) and operand.dim() >= rank and operand.shape[-rank] != 1:
            raise ShapeError(
                f"{name}: a tensor of shape {tuple(operand.shape)} would be broadcast over the tokens of "
                f"values with {rank} dimensions; use x.with_values(...) for one entry per token, or "
                "x.spread(tensor) for one per sequence"
            )


def _refuse_parameters_over_tokens(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], rank: int
) -> None:
    """Check that parameters have no more dimensions than the features, even if their sizes match."""
    needed = 1 if name in {"linear", "bilinear"} else 0
    if name in {"layer_norm", "rms_norm"}:
        shape = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
        needed = len(shape) if isinstance(shape, tuple | list) else 1
    if rank - 1 < needed:
        raise ShapeError(
            f"{name} needs {needed} feature dimensions, but tokens have {rank - 1}, so it would mix tokens; "
            "add a feature dimension with x[..., None], or embed the tokens"
        )


def _check_dim(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], rank: int) -> None:
    position, default = _ALONG_FEATURES[name]
    dim = kwargs.get("dim", args[position] if len(args) > position else default)
    if dim is None or hasattr(dim, "layout"):  # torch.max(x, y) of two batches or tensors
        hint = f"; use torch.{name}imum(x, y) for the {name}imum of two batches" if dim is not None else ""
        raise UnsupportedError(
            f"torch.{name} without dim would mix sequences of a Ragged{hint}; "
            f"give a feature dimension (dim=-1), or use {_POOL}"
        )
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    effective = rank + (name in _ADDS_A_DIMENSION)
    for axis in dims:
        if not -effective <= axis < effective:
            raise ShapeError(
                f"torch.{name}: dim {axis} is out of range for values with {rank} dimensions; use dim=-1 for "
                "the last feature dimension"
            )
        if axis % effective == 0:
            raise UnsupportedError(_token_dim_refusal(name))


def _token_dim_refusal(name: str) -> str:
    if name in {"cat", "concat", "concatenate"}:
        return (
            "torch.cat along dim 0 of a Ragged is ambiguous: use Ragged.cat(batches) for more sequences, "
            "Ragged.cat_time(batches) to concatenate in time, or dim=-1 for features"
        )
    if name in {"split", "chunk", "unbind"}:
        return (
            f"torch.{name} along dim 0 of a Ragged would split inside of sequences: use x.split(sizes) "
            "for sequences, x.split_time(steps) for time, or dim=-1 for features"
        )
    return f"torch.{name} along dim 0 of a Ragged would mix sequences; use {_POOL}"


def _wrap_all(result: Any, count: int, layout: Layout, wrap: Wrap, name: str) -> Any:
    def wrapped(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.dim() == 0 or leaf.shape[0] != count:
            raise UnsupportedError(
                f"torch.{name} changed the token dimension ({count} tokens, result of shape "
                f"{tuple(leaf.shape)}); use .values for the plain tensor"
            )
        return wrap(leaf, layout)

    if isinstance(result, Tensor):
        return wrapped(result)
    return pytree.tree_map(wrapped, result)


def _is_scalar(result: Any) -> TypeGuard[Tensor]:
    return isinstance(result, Tensor) and result.dim() == 0


def refusal(name: str) -> str:
    """Return the error message for a torch function that does not support ragged batches."""
    instead = _INSTEAD.get(
        name,
        "x.with_values(f(x.values)) if f treats all tokens alike, or .to_padded() / .to_list()",
    )
    return f"torch function {name!r} does not support a Ragged; use {instead}"


def _name(function: _Function) -> str:
    return getattr(function, "__name__", str(function))


def _lengths(layout: Layout) -> str:
    shown = layout.lengths[:6].tolist()
    return f"{shown}{'…' if len(layout) > 6 else ''}"
