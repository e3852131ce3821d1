"""Conversion to and from the inputs and attributes of the ONNX operators RNN, LSTM and GRU."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from throughtime.convert._layer import (
    as_array,
    as_tensor,
    blocks,
    built,
    checked_layer,
    copy_parameters,
    initial_states,
    refuse,
)
from throughtime.convert._onnx_attributes import attributes_of, directions_in, options_in
from throughtime.convert._update import with_old_update
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.layer import LAYERS, Recurrent
from throughtime.ops.recurrent.spec import CellSpec, OnnxLayout
from throughtime.ops.recurrent.weights import Weights


@dataclass(frozen=True)
class OnnxOperator:
    """An RNN, LSTM or GRU operator of ONNX: attributes and weights of its node, without a graph.

    Parameters
    ----------
    kind : "RNN", "LSTM" or "GRU"
        Name of the operator.
    attributes : mapping
        Attributes by their ONNX names, with Python values.
    inputs : mapping of str to array
        "W" (D, G·H, I), "R" (D, G·H, H), and optionally "B" (D, 2·G·H), "P" (D, 3·H), "initial_h" and
        "initial_c" (D, 1, H), for D directions, with gates in ONNX's order. All sequences have the same
        initial states.

    References
    ----------
    .. [1] ONNX, "Operator schemas": RNN, LSTM, GRU, version 14.
    """

    kind: Literal["RNN", "LSTM", "GRU"]
    attributes: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(repr=False)


def to_onnx(layer: Recurrent) -> tuple[OnnxOperator, ...]:
    r"""Convert a layer to ONNX operators, one for each layer of the stack.

    A GRU with ``update="new"`` is rewritten exactly, see `with_update`. The operators of a layer with a
    context s read [x_t, s] instead of x_t: the columns of the context weights follow those of W. With
    ``input_forget`` the blocks of the forget gate are zeros.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Layer of `throughtime.nn`.

    Returns
    -------
    tuple of OnnxOperator
        Operators with copies of the weights, in the dtype of the layer. Learned initial states become
        ``initial_h`` and ``initial_c``.

    Raises
    ------
    InputTypeError
        If it is not a layer of `throughtime.nn`, or its weights have no values.
    ShapeError
        If it has an option that ONNX does not support: ``proj_size``, ``cell_clip``.

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
        "proj_size": "which the LSTM of ONNX does not support; use a smaller hidden_size without it",
        "cell_clip": "a bound on c, which ONNX does not support (its clip bounds the gate inputs: clip=...)",
    }
    refuse(layer, "to_onnx", unable)
    spec, layout, count = layer.spec, layer.spec.onnx, 2 if layer.bidirectional else 1
    if layout is None:
        raise ShapeError(
            f"to_onnx: ONNX has no operator for the cell {spec.kind}, only {', '.join(sorted(_operators()))}"
        )
    attributes = attributes_of(spec, layout, layer.hidden_size, bidirectional=layer.bidirectional)
    initial = {name: value.unflatten(0, (-1, count)) for name, value in initial_states(layer).items()}
    return tuple(
        OnnxOperator(
            layout.operator,  # type: ignore[arg-type]
            attributes,
            {
                **_stacked([_inputs(weights, spec, layout) for weights in row]),
                **{name: as_array(value[k].unsqueeze(1)) for name, value in initial.items()},
            },
        )
        for k, row in enumerate(with_old_update(layer, "to_onnx"))
    )


def _inputs(weights: Weights, spec: CellSpec, layout: OnnxLayout) -> dict[str, Tensor]:
    def reorder(tensor: Tensor) -> Tensor:
        return blocks(tensor, spec.gates, layout.to_onnx)

    columns = [weights.ih] if weights.context is None else [weights.ih, weights.context]
    inputs = {"W": reorder(torch.cat(columns, 1)), "R": reorder(weights.hh)}
    if weights.bias_ih is not None and weights.bias_hh is not None:
        inputs["B"] = torch.cat([reorder(weights.bias_ih), reorder(weights.bias_hh)])
    if weights.own is not None:
        inputs["P"] = blocks(weights.own, len(spec.own_rows(weights)), layout.own_to_onnx)
    return inputs


def _operators() -> dict[str, CellSpec]:
    """Map the name of an ONNX operator to its cell with default options."""
    cells = [layer.spec_class() for layer in LAYERS.values()]  # type: ignore[call-arg]
    return {cell.onnx.operator: cell for cell in cells if cell.onnx is not None}


def _stacked(directions: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    return {name: as_array(torch.stack([inputs[name] for inputs in directions])) for name in directions[0]}


def from_onnx(operators: OnnxOperator | Iterable[OnnxOperator]) -> Recurrent:
    """Convert an ONNX operator, or several stacked ones, to a layer.

    Parameters
    ----------
    operators : OnnxOperator or iterable of OnnxOperator
        Operators of a stack, with the same attributes; each reads the output of the previous one, with both
        directions concatenated. ``activation_alpha`` and ``activation_beta`` default to those of the ONNX
        operators of the same name.

    Returns
    -------
    RNN, LSTM or GRU
        Layer with the dtype of W. Initial states become learned ones, and ``layout=1`` becomes
        ``batch_first``.

    Raises
    ------
    InputTypeError
        If an argument is not an `OnnxOperator`, or an input is not an array of floating-point numbers in
        native byte order, or has no values.
    ShapeError
        If a size is 0, a shape does not match, an attribute or input is unknown, or the layers do not support
        it: direction "reverse" alone, different activations in the two directions, different initial states
        of the sequences.

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
    spec = _operators()[first.kind]
    layout = cast("OnnxLayout", spec.onnx)
    tensors = [_tensors(operator, spec, layout) for operator in stack]
    dtypes = sorted({str(tensor.dtype) for inputs in tensors for tensor in inputs.values()})
    if len(dtypes) > 1:
        raise InputTypeError(
            f"from_onnx: the inputs have dtypes {' and '.join(dtypes)}; convert them to one dtype"
        )
    directions, hidden = tensors[0]["R"].shape[0], tensors[0]["R"].shape[2]
    for below, above in pairwise(tensors):
        if above["W"].shape[::2] != (directions, directions * hidden) or above.keys() != below.keys():
            raise ShapeError(
                f"from_onnx: an operator with W {tuple(above['W'].shape)} and inputs {', '.join(above)} "
                f"cannot follow one with {directions} directions of {hidden} units and inputs "
                f"{', '.join(below)}; convert them separately"
            )
    options = options_in(spec, layout, first.attributes, peephole="P" in tensors[0])
    options |= {
        "num_layers": len(stack),
        "bidirectional": directions == 2,
        "bias": "B" in tensors[0],
        "learn_initial_state": "initial_h" in tensors[0] or "initial_c" in tensors[0],
        "dtype": tensors[0]["W"].dtype,
    }
    layer = built(spec.kind, input_size=tensors[0]["W"].shape[2], hidden_size=hidden, **options)
    copy_parameters(
        layer,
        {
            **layer.weight_plan.named([_directions(layer.spec, layout, inputs) for inputs in tensors]),
            **_initial(layer, tensors),
        },
    )
    return layer


def _check_stack(stack: Sequence[object]) -> None:
    for operator in stack:
        if not isinstance(operator, OnnxOperator):
            raise InputTypeError(f"from_onnx takes OnnxOperators, got {type(operator).__name__}")
        if operator.kind not in _operators():
            kinds = ", ".join(sorted(_operators()))
            raise ShapeError(f"from_onnx: kind must be one of {kinds}, got {operator.kind!r}")
        first = stack[0]
        if (operator.kind, operator.attributes) != (first.kind, first.attributes):  # type: ignore[attr-defined]
            raise ShapeError(
                f"from_onnx: stacked operators must have the same kind and attributes, got {first} and "
                f"{operator}; convert them separately"
            )
    if not stack:
        raise ShapeError("from_onnx: got no operator; give at least one")


def _tensors(operator: OnnxOperator, spec: CellSpec, layout: OnnxLayout) -> dict[str, Tensor]:
    """Return the inputs as tensors with checked shapes."""
    kind, inputs = operator.kind, operator.inputs
    supported = {"W", "R", "B", *(f"initial_{state}" for state in spec.states)}
    unknown = sorted(inputs.keys() - supported - ({"P"} if layout.own_to_onnx else set()))
    missing = sorted({"W", "R"} - inputs.keys())
    if unknown:
        raise ShapeError(
            f"from_onnx: {kind} has no input {unknown[0]!r}; it takes W, R, B and initial states"
        )
    if missing:
        raise ShapeError(f"from_onnx: the input {missing[0]} is missing; {kind} needs W and R")
    count = directions_in(kind, operator.attributes)
    r = as_tensor(inputs["R"], (count, None, None), "from_onnx: R")
    hidden, rows = r.shape[2], len(layout.to_onnx) * r.shape[2]
    if operator.attributes.get("hidden_size", hidden) != hidden:
        raise ShapeError(
            f"from_onnx: R has shape {tuple(r.shape)}, but hidden_size is "
            f"{operator.attributes['hidden_size']}; they must agree in the last dimension of R"
        )
    shapes: dict[str, tuple[int | None, ...]] = {
        "W": (count, rows, None),
        "R": (count, rows, hidden),
        "B": (count, 2 * rows),
        "P": (count, len(layout.own_to_onnx) * hidden),
        "initial_h": (count, 1, hidden),
        "initial_c": (count, 1, hidden),
    }
    return {
        name: as_tensor(inputs[name], shape, f"from_onnx: {name}")
        for name, shape in shapes.items()
        if name in inputs
    }


def _directions(spec: CellSpec, default: OnnxLayout, tensors: Mapping[str, Tensor]) -> list[Weights]:
    """Return the weights of each direction; ``default`` is the operator's layout with default options."""
    layout = cast("OnnxLayout", spec.onnx)

    def reorder(tensor: Tensor) -> Tensor:
        return blocks(tensor, len(default.to_onnx), layout.from_onnx)

    def optional(name: str, d: int, convert: Callable[[Tensor], Tensor]) -> Tensor | None:
        return convert(tensors[name][d]) if name in tensors else None

    return [
        Weights(
            reorder(tensors["W"][d]),
            reorder(tensors["R"][d]),
            optional("B", d, lambda b: reorder(b.chunk(2)[0])),
            optional("B", d, lambda b: reorder(b.chunk(2)[1])),
            None,
            optional("P", d, lambda p: blocks(p, len(default.own_to_onnx), layout.own_from_onnx))
            if spec.own_parameters
            else None,
        )
        for d in range(tensors["W"].shape[0])
    ]


def _initial(layer: Recurrent, tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return learned initial states (layers · D, H), with zeros for a state that is not among the inputs."""
    return {
        name: torch.cat([inputs[name][:, 0] for inputs in tensors])
        if name in tensors[0]
        else torch.zeros_like(value)
        for name, value in initial_states(layer).items()
    }
