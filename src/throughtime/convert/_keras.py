"""To and from the weights of Keras's SimpleRNN, LSTM and GRU, as its ``get_weights`` lists them."""

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
    """Return the cells of Keras's layers with default options, by their number of blocks."""
    cells = [layer.spec_class() for layer in LAYERS.values()]  # type: ignore[call-arg]
    return {len(cell.keras.to_keras): (cell, cell.keras) for cell in cells if cell.keras is not None}


def to_keras(layer: Recurrent) -> tuple[list[np.ndarray], ...]:
    r"""Return what ``set_weights`` of Keras's layers takes, one list for each layer of the stack.

    A list is kernel (I, G·H), recurrent kernel (H, G·H) and, with biases, bias (G·H,); of a GRU with
    ``reset_after`` the bias is (2, 3·H), its two rows for input and recurrence. Gates stand in Keras's order,
    LSTM i f c o, GRU z r h. A bidirectional layer's list goes to Keras's ``Bidirectional``: forward weights,
    then backward ones.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Of `throughtime.nn`; ``update="new"`` is rewritten, see `with_update`. Activations are not part of the
        lists: name them to Keras.

    Returns
    -------
    tuple of list of array
        Copies, of the layer's dtype.

    Raises
    ------
    InputTypeError
        If it is not one of our layers, or its weights have no values.
    ShapeError
        If it has an option that Keras's layers do not know.

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
    refuse(layer, "to_keras", dict.fromkeys(unable, "which Keras's layers have not"))
    layout = layer.spec.keras
    if layout is None:
        raise ShapeError(f"to_keras: Keras has no layer of the cell {layer.spec.kind}")
    return tuple(
        [array for weights in row for array in _arrays(weights, layout)]
        for row in with_old_update(layer, "to_keras")
    )


def _arrays(weights: Weights, layout: KerasLayout) -> list[np.ndarray]:
    order = layout.to_keras

    def theirs(tensor: Tensor) -> Tensor:
        return blocks(tensor, len(order), order)

    tensors = [theirs(weights.ih).t(), theirs(weights.hh).t()]
    if weights.bias_ih is not None and weights.bias_hh is not None:
        both = [theirs(weights.bias_ih), theirs(weights.bias_hh)]
        tensors.append(torch.stack(both) if layout.two_biases else both[0] + both[1])
    return [as_array(tensor.contiguous()) for tensor in tensors]


def from_keras(*layers: Sequence[Any], reset_after: bool | None = None, **options: Any) -> Recurrent:
    """Return the layer that computes what Keras's SimpleRNN, LSTM or GRU does, or several stacked.

    Which of the three it is, its sizes and directions are told by the shapes.

    Parameters
    ----------
    *layers : sequence of array
        What ``get_weights`` of each Keras layer returns; of ``Bidirectional`` forward weights, then backward
        ones, concatenated.
    reset_after : bool, optional
        Of a GRU; needed only if it has no bias, whose shape tells it.
    **options
        Options of our layer that weights do not tell, such as ``batch_first`` (Keras always has the batch
        first), ``activations`` if they are not sigmoid and tanh, ``dropout``. Keras 3's "hard_sigmoid" is
        ``("hard_sigmoid", 1 / 6, 0.5)``.

    Returns
    -------
    RNN, LSTM or GRU
        Of the arrays' dtype.

    Raises
    ------
    InputTypeError
        If something is no array of floating-point numbers with values, in this machine's byte order.
    ShapeError
        If a size is 0, shapes do not fit each other, or ``reset_after`` is needed or contradicts them.

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
        raise ShapeError("from_keras: got no weights; give what get_weights() of each Keras layer returns")
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
    dtypes = sorted({str(array.dtype) for row in stack for one in row for array in one})
    if len(dtypes) > 1:
        raise InputTypeError(
            f"from_keras: the arrays are of {' and '.join(dtypes)}; convert them to one dtype"
        )
    if layout.two_biases:
        options["reset_after"] = _reset_after(first, given=reset_after)
        layout = replace(layout, two_biases=options["reset_after"])
    elif reset_after is not None:
        raise ShapeError(f"from_keras: reset_after belongs to GRU, these are the weights of an {spec.kind}")
    rows = [
        [
            _direction(one, layout, hidden, first[0].shape[0] if k == 0 else count * hidden)
            for one in directions
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
    """Take the arrays of one or two directions apart: two or three each, whose last one is a bias."""
    each = {2: 2, 3: 3, 4: 2, 6: 3}.get(len(weights))
    if each is None:
        raise ShapeError(
            f"from_keras: one layer has 2 or 3 arrays (kernel, recurrent kernel, bias), a bidirectional one "
            f"twice as many; got {len(weights)}"
        )
    names = ("kernel", "recurrent kernel")
    found = [
        as_tensor(value, (None, None), f"from_keras: {names[i % each]}")
        if i % each < 2
        else as_tensor(value, (None,) * np.ndim(value), "from_keras: bias")
        for i, value in enumerate(weights)
    ]
    return [found[:each], found[each:]] if len(found) > each else [found]


def _cell_of(first: Sequence[Tensor]) -> tuple[CellSpec, KerasLayout]:
    units, columns = first[1].shape
    layers = _layers()
    if units == 0 or columns % units or columns // units not in layers:
        expected = [f"(H, {count}·H) of {layout.layer}" for count, (_, layout) in sorted(layers.items())]
        raise ShapeError(
            f"from_keras: the recurrent kernel has shape ({units}, {columns}), expected {', '.join(expected)}"
        )
    return layers[columns // units]


def _reset_after(first: Sequence[Tensor], *, given: bool | None) -> bool:
    told = None if len(first) == 2 else first[2].dim() == 2
    if told is None and given is None:
        raise ShapeError(
            "from_keras: a GRU without bias does not tell its reset_after; Keras's default is True"
        )
    if None not in {told, given} and told != given:
        raise ShapeError(
            f"from_keras: reset_after={given}, but the bias has shape {tuple(first[2].shape)}; it is "
            "(2, 3·H) with reset_after and (3·H,) without"
        )
    return bool(given if told is None else told)


def _direction(arrays: Sequence[Tensor], layout: KerasLayout, hidden: int, features: int) -> Weights:
    order, two_biases = layout.from_keras, layout.two_biases
    width = len(order) * hidden
    kernel = as_tensor(arrays[0], (features, width), "from_keras: kernel")
    recurrent = as_tensor(arrays[1], (hidden, width), "from_keras: recurrent kernel")

    def ours(tensor: Tensor) -> Tensor:
        return blocks(tensor, len(order), order)

    biases: tuple[Tensor | None, Tensor | None] = (None, None)
    if len(arrays) == 3:
        bias = as_tensor(arrays[2], (2, width) if two_biases else (width,), "from_keras: bias")
        biases = (ours(bias[0]), ours(bias[1])) if two_biases else (ours(bias), torch.zeros_like(bias))
    return Weights(ours(kernel.t()), ours(recurrent.t()), *biases, None)
