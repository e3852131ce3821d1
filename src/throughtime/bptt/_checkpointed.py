"""`checkpointed`: backpropagation through whole sequences with checkpointing, in O(√T) memory."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from throughtime.bptt._segmentable import check_segmentable
from throughtime.bptt._segments import Segments, steps_of_segment
from throughtime.errors import InputTypeError
from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.inputs.resets import pieces_of
from throughtime.nn.recurrence.noise import drawn_seeds
from throughtime.nn.recurrence.recurrence import Recurrence
from throughtime.ragged import Ragged


def checkpointed(
    layer: nn.Module,
    x: Ragged,
    state: Any = None,
    *,
    reset: Ragged | None = None,
    segment: int | None = None,
    outputs: bool = True,
    **inputs: Any,
) -> RecurrentOutput:
    r"""Return ``layer(x, state)``, storing only the states between segments of S steps for the backward pass.

    The backward pass computes each segment again, from the last to the first. Memory holds the input, T/S
    states, and the activations of S steps, so it grows with √T for S ~ √T; the cost is one more forward pass.
    Gradients flow through the whole sequence. Values are bit for bit those of the layer. Gradients of weights
    are summed over segments, so they agree to round-off.

    Dropout between layers is drawn for each segment, as in calls on the segments. Noise of a cell, such as
    that of `throughtime.nn.Zoneout` in a `throughtime.nn.Recurrence`, is that of a call on the whole.

    Parameters
    ----------
    layer : Module
        Recurrent layer of `throughtime.nn`, of any kind but bidirectional: a layer of built-in cells or of
        others (`LSTM`, `LiGRU`), a scan layer (`QRNN`), `Recurrence`, or a `Stack` of such layers and of
        layers that read each step alone.
    x : Ragged
        (T, I) input.
    state, reset
        As in a call of the layer.
    segment
        Number of steps S of a segment; by default four times the square root of the longest length.
    outputs
        Whether to return h of every step. If False, the output is (T, 0), so that a loss on final states
        needs no memory for T states.
    inputs
        Other arguments of the layer's call, which are the same at all steps: ``context``, ``memory``,
        ``seeds``; and ``first_step``.

    Returns
    -------
    RecurrentOutput
        ``output, state`` as returned by the layer.

    Raises
    ------
    ShapeError, InputTypeError, UnsupportedError
        If the layer is bidirectional, or has a part that reads several steps and has no state, such as a
        convolution, or that combines all tokens of a batch, such as batch normalisation in training; if
        ``segment`` is below 1, or the input is not a `Ragged`.

    References
    ----------
    .. [1] T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174 (2016).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LSTM(3, 5)
    >>> x = tt.Ragged.from_list([torch.randn(1000, 3), torch.randn(300, 3)])
    >>> output, (h, c) = tt.bptt.checkpointed(layer, x)
    >>> torch.equal(h, layer(x).state[0])
    True
    >>> h.sum().backward()
    """
    check_segmentable(layer, state)
    if not isinstance(x, Ragged):
        raise InputTypeError(
            f"checkpointed takes a Ragged batch, got {type(x).__name__}; convert it, for example with "
            "Ragged.from_padded"
        )
    steps = steps_of_segment(segment, x.longest)
    segments = Segments.of(x.layout, steps)
    split = segments.split(x.values)
    flags = [None] * len(split) if reset is None else segments.split(_flags(layer, x, reset))
    noise = _noise(layer, len(x), inputs)
    parts: list[list[Tensor]] = []
    for number, (tokens, flags_of_segment) in enumerate(zip(split, flags, strict=True)):
        arguments = {**inputs, **noise, **({} if flags_of_segment is None else {"reset": flags_of_segment})}
        if noise:
            arguments["first_step"] = noise["first_step"] + number * steps
        output, state = checkpoint(
            partial(_called, layer, outputs=outputs),
            tokens,
            state,
            arguments,
            use_reentrant=False,
            preserve_rng_state=layer.training,
        )
        leaves, structure = pytree.tree_flatten(output)
        parts.append(leaves)
    joined = [x.with_values(segments.joined(leaf)) for leaf in zip(*parts, strict=True)]
    return RecurrentOutput(pytree.tree_unflatten(joined, structure), state)


def _called(
    layer: nn.Module, tokens: Ragged, state: Any, arguments: Mapping[str, Any], *, outputs: bool
) -> tuple[Any, Any]:
    """Return the output values and the state of a call on a segment."""
    output, state = layer(tokens, state, **arguments)
    leaves, structure = pytree.tree_flatten(output, is_leaf=lambda part: isinstance(part, Ragged))
    values = [part.values if outputs else part.values.new_zeros(len(part.values), 0) for part in leaves]
    return pytree.tree_unflatten(values, structure), state


def _flags(layer: nn.Module, x: Ragged, reset: Any) -> Tensor:
    """Return the reset flags (T,) of a batch."""
    return pieces_of(reset, x, batch_first=False, layer=type(layer).__name__).flags.values


def _noise(layer: nn.Module, batch: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seeds and the first step of a call that draws random numbers, as it draws them."""
    if not isinstance(layer, Recurrence) or not layer.draws_noise:
        return {}
    seeds = inputs.get("seeds")
    return {
        "seeds": drawn_seeds(batch) if seeds is None else seeds,
        "first_step": torch.as_tensor(inputs.get("first_step", 0)),
    }
