"""To and from the inputs and attributes of ONNX's RNN, LSTM and GRU operators."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from throughtime.convert._layer import (
    Direction,
    Layer,
    as_array,
    as_tensor,
    blocks,
    built,
    checked_layer,
    copy_parameters,
    initial_states,
    parameters_of,
    refuse,
)
from throughtime.convert._onnx_attributes import attributes_of, directions_in, options_in
from throughtime.convert._update import with_old_update
from throughtime.errors import KindError, ShapeError

# Where ONNX's blocks stand among ours and the other way round, −1 for zeros. LSTM: i o f c and i f g o,
# coupled i g o; GRU: z r h and r z n. Of peepholes: i o f and i f o, coupled i o.
_TO = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2), "coupled": (0, 2, -1, 1)}
_FROM = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "coupled": (0, 3, 1)}
_PEEPHOLES_TO, _PEEPHOLES_FROM = {False: (0, 2, 1), True: (0, 1, -1)}, {False: (0, 2, 1), True: (0, 1)}

_BLOCKS = {"RNN": 1, "GRU": 3, "LSTM": 4}
_INPUTS = {"W", "R", "B", "P", "initial_h", "initial_c"}


@dataclass(frozen=True)
class OnnxOperator:
    """One RNN, LSTM or GRU operator of ONNX: what its node says, without a graph around it.

    Parameters
    ----------
    kind : "RNN", "LSTM" or "GRU"
        The operator's name.
    attributes : mapping
        By ONNX's names, lists and strings as in Python.
    inputs : mapping of str to array
        With D directions and blocks in ONNX's order: "W" (D, G·H, I), "R" (D, G·H, H), and, where the
        operator has them, "B" (D, 2·G·H), "P" (D, 3·H), and "initial_h" and "initial_c" (D, 1, H), one row
        for every sequence.

    References
    ----------
    .. [1] ONNX, "Operator schemas": RNN, LSTM, GRU, version 14.
    """

    kind: Literal["RNN", "LSTM", "GRU"]
    attributes: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(repr=False)


def to_onnx(layer: Layer) -> tuple[OnnxOperator, ...]:
    r"""Return the ONNX operators that compute what a layer does, one for each layer of the stack.

    GRU with ``update="new"`` is rewritten exactly, see `with_update`. A layer with a context s reads
    [x_t, s] in place of x_t: the columns of its context's weights stand behind those of W. With
    ``input_forget`` the forget gate's blocks are zeros.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Of `throughtime.nn`.

    Returns
    -------
    tuple of OnnxOperator
        Arrays are copies, of the layer's dtype; states learned by the layer are ``initial_h`` and
        ``initial_c``.

    Raises
    ------
    KindError
        If it is not one of our layers, or its weights have no values.
    ShapeError
        If ONNX has no such option: ``proj_size``, ``cell_clip``.

    References
    ----------
    .. [1] ONNX, "Operator schemas": RNN, LSTM, GRU, version 14.

    Examples
    --------
    >>> import throughtime as tt
    >>> (operator,) = tt.convert.to_onnx(tt.nn.GRU(3, 5, bidirectional=True))
    >>> operator.attributes
    {'hidden_size': 5, 'direction': 'bidirectional', 'linear_before_reset': 1}
    >>> {name: array.shape for name, array in operator.inputs.items()}
    {'W': (2, 15, 3), 'R': (2, 15, 5), 'B': (2, 30)}
    """
    layer = checked_layer(layer, "to_onnx")
    unable = {
        "proj_size": "which ONNX's LSTM has not; train one without, with a smaller hidden_size",
        "cell_clip": "a bound on c, which ONNX has not (its clip bounds the gates' inputs: clip=...)",
    }
    refuse(layer, "to_onnx", unable)
    spec, count = layer.spec, 2 if layer.bidirectional else 1
    attributes = attributes_of(spec, layer.hidden_size, bidirectional=layer.bidirectional)
    initial = {name: value.unflatten(0, (-1, count)) for name, value in initial_states(layer).items()}
    return tuple(
        OnnxOperator(
            spec.kind,
            attributes,
            {
                **_stacked([_inputs(one, spec.kind, coupled=spec.coupled) for one in row]),
                **{name: as_array(value[k].unsqueeze(1)) for name, value in initial.items()},
            },
        )
        for k, row in enumerate(with_old_update(layer, "to_onnx"))
    )


def _inputs(one: Direction, kind: str, *, coupled: bool) -> dict[str, Tensor]:
    order = _TO["coupled" if coupled else kind]
    count = 3 if coupled else _BLOCKS[kind]
    columns = [one.weight_ih] if one.weight_context is None else [one.weight_ih, one.weight_context]
    inputs = {
        "W": blocks(torch.cat(columns, 1), count, order),
        "R": blocks(one.weight_hh, count, order),
    }
    if one.bias_ih is not None and one.bias_hh is not None:
        inputs["B"] = torch.cat([blocks(bias, count, order) for bias in (one.bias_ih, one.bias_hh)])
    if one.weight_peephole is not None:
        inputs["P"] = blocks(one.weight_peephole, 2 if coupled else 3, _PEEPHOLES_TO[coupled])
    return inputs


def _stacked(directions: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    return {name: as_array(torch.stack([one[name] for one in directions])) for name in directions[0]}


def from_onnx(operators: OnnxOperator | Iterable[OnnxOperator]) -> Layer:
    """Return the layer that computes what one ONNX operator does, or several on top of each other.

    Parameters
    ----------
    operators : OnnxOperator or iterable of OnnxOperator
        With the same attributes if there are several, each reading what the one before it returns, both
        directions side by side. Numbers of activations that are not given are those of the ONNX operators
        of that name.

    Returns
    -------
    RNN, LSTM or GRU
        Of the dtype of W, with initial states to be learned if the operators have some. ``layout=1`` becomes
        ``batch_first``.

    Raises
    ------
    KindError
        If an argument is no `OnnxOperator`, or an input no array of floating-point numbers with values, in
        this machine's byte order.
    ShapeError
        If a size is 0, an input's shape does not fit, an attribute or input is unknown, or our layers cannot
        take it: direction "reverse" alone, different activations in the two directions, a state for each
        sequence.

    References
    ----------
    .. [1] ONNX, "Operator schemas": RNN, LSTM, GRU, version 14.

    Examples
    --------
    >>> import numpy as np, throughtime as tt
    >>> inputs = {"W": np.ones((1, 20, 3)), "R": np.ones((1, 20, 5)), "P": np.ones((1, 15))}
    >>> layer = tt.convert.from_onnx(tt.convert.OnnxOperator("LSTM", {"hidden_size": 5}, inputs))
    >>> layer.input_size, layer.hidden_size, layer.bias, layer.weight_peephole_l0.shape
    (3, 5, False, torch.Size([15]))
    """
    if not isinstance(operators, Iterable):
        operators = [operators]
    stack = list(operators)
    _check_stack(stack)
    first = stack[0]
    tensors = [_tensors(operator) for operator in stack]
    dtypes = sorted({str(tensor.dtype) for one in tensors for tensor in one.values()})
    if len(dtypes) > 1:
        raise KindError(f"from_onnx: the inputs are of {' and '.join(dtypes)}; convert them to one dtype")
    directions, hidden = tensors[0]["R"].shape[0], tensors[0]["R"].shape[2]
    for below, above in pairwise(tensors):
        if above["W"].shape[::2] != (directions, directions * hidden) or above.keys() != below.keys():
            raise ShapeError(
                f"from_onnx: an operator with W {tuple(above['W'].shape)} and inputs {', '.join(above)} "
                f"cannot stand on one with {directions} directions of {hidden} units and {', '.join(below)}; "
                "make a layer of each"
            )
    options = options_in(first.kind, first.attributes, peephole="P" in tensors[0])
    options |= {
        "num_layers": len(stack),
        "bidirectional": directions == 2,
        "bias": "B" in tensors[0],
        "learn_initial_state": "initial_h" in tensors[0] or "initial_c" in tensors[0],
        "dtype": tensors[0]["W"].dtype,
    }
    layer = built(first.kind, input_size=tensors[0]["W"].shape[2], hidden_size=hidden, **options)
    copy_parameters(
        layer, {**parameters_of([_directions(first, one) for one in tensors]), **_initial(layer, tensors)}
    )
    return layer


def _check_stack(stack: Sequence[object]) -> None:
    for operator in stack:
        if not isinstance(operator, OnnxOperator):
            raise KindError(f"from_onnx takes OnnxOperators, got {type(operator).__name__}")
        if operator.kind not in _BLOCKS:
            raise ShapeError(f"from_onnx: kind is RNN, LSTM or GRU, got {operator.kind!r}")
        first = stack[0]
        if (operator.kind, operator.attributes) != (first.kind, first.attributes):  # type: ignore[attr-defined]
            raise ShapeError("from_onnx: operators of one stack need the same kind and attributes")
    if not stack:
        raise ShapeError("from_onnx: got no operator")


def _tensors(operator: OnnxOperator) -> dict[str, Tensor]:
    """Return the inputs as tensors of checked shapes."""
    kind, given = operator.kind, operator.inputs
    unknown = sorted(given.keys() - (_INPUTS if kind == "LSTM" else _INPUTS - {"P", "initial_c"}))
    missing = sorted({"W", "R"} - given.keys())
    if unknown:
        raise ShapeError(
            f"from_onnx: {kind} has no input {unknown[0]!r}; it takes W, R, B and initial states"
        )
    if missing:
        raise ShapeError(f"from_onnx: the input {missing[0]} is missing; {kind} needs W and R")
    count = directions_in(kind, operator.attributes)
    r = as_tensor(given["R"], (count, None, None), "from_onnx: R")
    hidden, rows = r.shape[2], _BLOCKS[kind] * r.shape[2]
    if operator.attributes.get("hidden_size", hidden) != hidden:
        raise ShapeError(
            f"from_onnx: R has shape {tuple(r.shape)}, but hidden_size is "
            f"{operator.attributes['hidden_size']}; it is the last size of R"
        )
    shapes: dict[str, tuple[int | None, ...]] = {
        "W": (count, rows, None),
        "R": (count, rows, hidden),
        "B": (count, 2 * rows),
        "P": (count, 3 * hidden),
        "initial_h": (count, 1, hidden),
        "initial_c": (count, 1, hidden),
    }
    return {
        name: as_tensor(given[name], shape, f"from_onnx: {name}")
        for name, shape in shapes.items()
        if name in given
    }


def _directions(operator: OnnxOperator, tensors: Mapping[str, Tensor]) -> list[Direction]:
    coupled = bool(operator.kind == "LSTM" and operator.attributes.get("input_forget", 0))
    order, count = _FROM["coupled" if coupled else operator.kind], _BLOCKS[operator.kind]

    def ours(tensor: Tensor) -> Tensor:
        return blocks(tensor, count, order)

    def optional(name: str, d: int, change: Callable[[Tensor], Tensor]) -> Tensor | None:
        return change(tensors[name][d]) if name in tensors else None

    return [
        Direction(
            ours(tensors["W"][d]),
            ours(tensors["R"][d]),
            optional("B", d, lambda b: ours(b.chunk(2)[0])),
            optional("B", d, lambda b: ours(b.chunk(2)[1])),
            weight_peephole=optional("P", d, lambda p: blocks(p, 3, _PEEPHOLES_FROM[coupled])),
        )
        for d in range(tensors["W"].shape[0])
    ]


def _initial(layer: Layer, tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return learned initial states (layers · D, H), zeros where an operator has only the other one."""
    return {
        name: torch.cat([one[name][:, 0] for one in tensors])
        if name in tensors[0]
        else torch.zeros_like(value)
        for name, value in initial_states(layer).items()
    }
