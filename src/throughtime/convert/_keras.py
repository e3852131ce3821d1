"""Conversion to and from the weights of Keras's SimpleRNN, LSTM and GRU (``get_weights``)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

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
    refuse,
)
from throughtime.convert._update import with_old_update
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.layer import LAYERS, Recurrent
from throughtime.ops.recurrent.spec import CellSpec, KerasLayout
from throughtime.ops.recurrent.weights import Weights


def _layers() -> dict[int, tuple[CellSpec, KerasLayout]]:
    """Map the number of gates to the cell and layout of a Keras layer with default options."""
    cells = [layer.spec_class() for layer in LAYERS.values()]  # type: ignore[call-arg]
    return {len(cell.keras.to_keras): (cell, cell.keras) for cell in cells if cell.keras is not None}


def to_keras(layer: Recurrent) -> tuple[list[np.ndarray], ...]:
    r"""Convert the weights of a layer to lists for ``set_weights`` in Keras, one list per stacked layer.

    A list has a kernel (I, G·H), a recurrent kernel (H, G·H) and, with biases, a bias (G·H,). The bias of a
    GRU with ``reset_after`` is (2, 3·H), one row for the input and one for the recurrence. Gates are in
    Keras's order: i, f, c, o for LSTM, and z, r, h for GRU. The list of a bidirectional layer is for
    ``Bidirectional`` in Keras: forward weights, then backward weights.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Layer of `throughtime.nn`; ``update="new"`` is rewritten, see `with_update`. The lists do not include
        activations: pass them to the Keras layer.

    Returns
    -------
    tuple of list of array
        Copies of the weights, with the dtype of the layer.

    Raises
    ------
    InputTypeError
        If it is not a layer of `throughtime.nn`, or its weights have no values.
    ShapeError
        If it has an option that the Keras layers do not support.

    References
    ----------
    .. [1] Keras 3, layers SimpleRNN, LSTM, GRU and Bidirectional.

    Examples
    --------
    >>> import throughtime as tt
    >>> [[array.shape for array in weights] for weights in tt.convert.to_keras(tt.nn.GRU(3, 5))]
    [[(3, 15), (5, 15), (2, 15)]]
    """
    layer = checked_layer(layer, "to_keras")
    unable = ("proj_size", "peephole", "coupled", "clip", "cell_clip", "context_size", "learn_initial_state")
    refuse(layer, "to_keras", dict.fromkeys(unable, "which Keras does not support; use a layer without it"))
    layout = layer.spec.keras
    if layout is None:
        supported = ", ".join(layout.layer for _, layout in _layers().values())
        raise ShapeError(f"to_keras: Keras has no layer for the cell {layer.spec.kind}; it has {supported}")
    return tuple(
        [array for weights in row for array in _arrays(weights, layout)]
        for row in with_old_update(layer, "to_keras")
    )


def _arrays(weights: Weights, layout: KerasLayout) -> list[np.ndarray]:
    order = layout.to_keras

    def reorder(tensor: Tensor) -> Tensor:
        return blocks(tensor, len(order), order)

    tensors = [reorder(weights.ih).t(), reorder(weights.hh).t()]
    if weights.bias_ih is not None and weights.bias_hh is not None:
        biases = [reorder(weights.bias_ih), reorder(weights.bias_hh)]
        tensors.append(torch.stack(biases) if layout.two_biases else biases[0] + biases[1])
    return [as_array(tensor.contiguous()) for tensor in tensors]


def from_keras(*layers: Sequence[Any], reset_after: bool | None = None, **options: Any) -> Recurrent:
    """Convert the weights of a SimpleRNN, LSTM or GRU of Keras, or of several stacked layers.

    The kind of layer, the sizes and the directions are inferred from the shapes.

    Parameters
    ----------
    *layers : sequence of array
        The result of ``get_weights`` for each Keras layer. ``Bidirectional`` returns forward weights, then
        backward weights, in one list.
    reset_after : bool, optional
        ``reset_after`` of a GRU; required only if it has no bias, as it is inferred from the bias shape.
    **options
        Options of the layer that do not follow from the weights, such as ``batch_first`` (Keras always has
        the batch first), ``activations`` other than sigmoid and tanh, and ``dropout``. "hard_sigmoid" of
        Keras 3 is ``("hard_sigmoid", 1 / 6, 0.5)``.

    Returns
    -------
    RNN, LSTM or GRU
        Layer with the dtype of the arrays.

    Raises
    ------
    InputTypeError
        If an argument is not an array of floating-point numbers in native byte order, or has no values.
    ShapeError
        If a size is 0, shapes do not match, or ``reset_after`` is required or contradicts the bias.

    References
    ----------
    .. [1] Keras 3, layers SimpleRNN, LSTM, GRU and Bidirectional.

    Examples
    --------
    >>> import numpy as np, throughtime as tt
    >>> weights = [np.ones((3, 20)), np.ones((5, 20)), np.ones(20)]
    >>> tt.convert.from_keras(weights, batch_first=True)
    LSTM(3, 5, batch_first=True)
    """
    if not layers:
        raise ShapeError("from_keras: got no weights; give the result of get_weights() of each Keras layer")
    for weights in layers:
        if not isinstance(weights, Sequence):
            raise InputTypeError(
                f"from_keras takes a list of arrays for each layer, as get_weights() returns it, got a "
                f"{type(weights).__name__}"
            )
    stack = [_directions(list(weights)) for weights in layers]
    first = stack[0][0]
    spec, layout = _cell_of(first)
    hidden, count = first[1].shape[0], len(stack[0])
    dtypes = sorted({str(array.dtype) for row in stack for arrays in row for array in arrays})
    if len(dtypes) > 1:
        raise InputTypeError(
            f"from_keras: the arrays have dtypes {' and '.join(dtypes)}; convert them to one dtype"
        )
    if layout.two_biases:
        options["reset_after"] = _reset_after(first, argument=reset_after)
        layout = replace(layout, two_biases=options["reset_after"])
    elif reset_after is not None:
        raise ShapeError(
            f"from_keras: reset_after is an option of GRU, but these are the weights of an {spec.kind}; "
            "leave it out"
        )
    rows = [
        [
            _direction(arrays, layout, hidden, first[0].shape[0] if k == 0 else count * hidden)
            for arrays in directions
        ]
        for k, directions in enumerate(stack)
    ]
    layer = built(
        spec.kind,
        input_size=first[0].shape[0],
        hidden_size=hidden,
        num_layers=len(stack),
        bias=len(first) == 3,
        bidirectional=count == 2,
        dtype=first[0].dtype,
        **options,
    )
    copy_parameters(layer, layer.weight_plan.named(rows))
    return layer


def _directions(weights: list[Any]) -> list[list[Tensor]]:
    """Split the arrays into directions of two or three arrays each: kernel, recurrent kernel, bias."""
    per_direction = {2: 2, 3: 3, 4: 2, 6: 3}.get(len(weights))
    if per_direction is None:
        raise ShapeError(
            "from_keras: a layer has 2 or 3 arrays (kernel, recurrent kernel, bias), and a bidirectional one "
            f"twice as many; got {len(weights)}"
        )
    names = ("kernel", "recurrent kernel")
    tensors = [
        as_tensor(value, (None, None), f"from_keras: {names[i % per_direction]}")
        if i % per_direction < 2
        else as_tensor(value, (None,) * np.ndim(value), "from_keras: bias")
        for i, value in enumerate(weights)
    ]
    return [tensors[i : i + per_direction] for i in range(0, len(tensors), per_direction)]


def _cell_of(first: Sequence[Tensor]) -> tuple[CellSpec, KerasLayout]:
    units, columns = first[1].shape
    layers = _layers()
    if units == 0 or columns % units or columns // units not in layers:
        expected = [f"(H, {count}·H) for {layout.layer}" for count, (_, layout) in sorted(layers.items())]
        raise ShapeError(
            f"from_keras: the recurrent kernel has shape ({units}, {columns}), expected {', '.join(expected)}"
        )
    return layers[columns // units]


def _reset_after(first: Sequence[Tensor], *, argument: bool | None) -> bool:
    inferred = None if len(first) == 2 else first[2].dim() == 2
    if inferred is None and argument is None:
        raise ShapeError(
            "from_keras: reset_after cannot be inferred for a GRU without bias; give it (the default of "
            "Keras is True)"
        )
    if None not in {inferred, argument} and inferred != argument:
        raise ShapeError(
            f"from_keras: reset_after={argument}, but the bias has shape {tuple(first[2].shape)}; expected "
            "(2, 3·H) with reset_after and (3·H,) without"
        )
    return bool(argument if inferred is None else inferred)


def _direction(arrays: Sequence[Tensor], layout: KerasLayout, hidden: int, features: int) -> Weights:
    order, two_biases = layout.from_keras, layout.two_biases
    width = len(order) * hidden
    kernel = as_tensor(arrays[0], (features, width), "from_keras: kernel")
    recurrent = as_tensor(arrays[1], (hidden, width), "from_keras: recurrent kernel")

    def reorder(tensor: Tensor) -> Tensor:
        return blocks(tensor, len(order), order)

    biases: tuple[Tensor | None, Tensor | None] = (None, None)
    if len(arrays) == 3:
        bias = as_tensor(arrays[2], (2, width) if two_biases else (width,), "from_keras: bias")
        biases = (
            (reorder(bias[0]), reorder(bias[1])) if two_biases else (reorder(bias), torch.zeros_like(bias))
        )
    return Weights(reorder(kernel.t()), reorder(recurrent.t()), *biases, None)
