"""`checkpointed`: backpropagation through whole sequences with checkpointing, in O(√T) memory."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.inputs.resets import pieces_of
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ragged import Layout, Ragged

# Segments of 4·√T steps: each has a fixed cost of some tenths of a millisecond, and needs little memory.
_FACTOR = 4


def checkpointed(
    layer: Recurrent,
    x: Ragged,
    state: Any = None,
    *,
    context: Tensor | None = None,
    reset: Ragged | None = None,
    segment: int | None = None,
    outputs: bool = True,
) -> RecurrentOutput:
    r"""Return ``layer(x, state)``, storing only the states between segments of S steps for the backward pass.

    The backward pass computes each segment again, from the last to the first. Memory holds the input, T/S
    states, and the activations of S steps, so it grows with √T for S ~ √T; the cost is one more forward pass.
    Gradients flow through the whole sequence. Values are bit for bit those of the layer. Gradients of weights
    are summed over segments, so they agree to round-off.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Unidirectional layer of `throughtime.nn`.
    x : Ragged
        (T, I) input.
    state, context, reset
        As in a call of the layer.
    segment
        Number of steps S of a segment; by default four times the square root of the longest length.
    outputs
        Whether to return h of every step. If False, the output is (T, 0), so that a loss on final states
        needs no memory for T states.

    Returns
    -------
    RecurrentOutput
        ``output, state`` as returned by the layer.

    Raises
    ------
    ShapeError, InputTypeError
        If the layer is bidirectional, ``segment`` is below 1, or the input is not a `Ragged`.

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
    if not isinstance(layer, Recurrent):
        raise InputTypeError(f"checkpointed takes a tt.nn.RNN, LSTM or GRU, got {type(layer).__name__}")
    if layer.bidirectional:
        raise ShapeError(
            "checkpointed does not support bidirectional layers, because their second direction starts at "
            "the end; use one layer for each direction, the second on x.reverse()"
        )
    if not isinstance(x, Ragged):
        raise InputTypeError(
            f"checkpointed takes a Ragged batch, got {type(x).__name__}; convert it, for example with "
            "Ragged.from_padded"
        )
    if segment is None:
        segment = _FACTOR * (math.isqrt(max(0, x.longest - 1)) + 1)
    if segment < 1:
        raise ShapeError(f"segment must be at least 1, got {segment}")
    order, layouts = _segments(x.layout, segment)
    values = x.values if order is None else x.values.index_select(0, order)
    # `split` makes no copy, and its backward pass concatenates the segments once.
    sizes = [layout.total for layout in layouts]
    segments = values.split(sizes)
    flags = _flags(layer, x, reset, order, sizes)
    has_c = layer.spec.has_c
    random = bool(layer.dropout) and layer.training and layer.num_layers > 1

    def run(segment: Tensor, flags: Tensor | None, layout: Layout, *carried: Tensor) -> tuple[Tensor, ...]:
        initial: Any = None if not carried else carried if has_c else carried[0]
        tokens = Ragged(segment, layout.offsets, layout=layout)
        of_segment = None if flags is None else tokens.with_values(flags)
        result = layer(tokens, initial, context=context, reset=of_segment)
        h = result.output.values if outputs else result.output.values[:, :0]
        return (h, *result.state) if has_c else (h, result.state)

    carried = () if state is None else tuple(state) if has_c else (state,)
    outputs_of_segments = []
    for values_of_segment, flags_of_segment, layout in zip(segments, flags, layouts, strict=True):
        h, *carried = checkpoint(
            run,
            values_of_segment,
            flags_of_segment,
            layout,
            *carried,
            use_reentrant=False,
            preserve_rng_state=random,
        )
        outputs_of_segments.append(h)
    output = torch.cat(outputs_of_segments)
    if order is not None:
        output = output.index_select(0, torch.argsort(order))
    return RecurrentOutput(x.with_values(output), tuple(carried) if has_c else carried[0])


def _flags(
    layer: Recurrent, x: Ragged, reset: Any, order: Tensor | None, sizes: list[int]
) -> Sequence[Tensor | None]:
    """Return the reset flags of each segment, None for none."""
    if reset is None:
        return [None] * len(sizes)
    flags = pieces_of(reset, x, batch_first=False, layer=type(layer).__name__).flags.values
    segments: tuple[Tensor, ...] = (flags if order is None else flags.index_select(0, order)).split(sizes)
    return segments


def _segments(layout: Layout, segment: int) -> tuple[Tensor | None, list[Layout]]:
    """Return token indices in the order of segments (None if unchanged) and the layout of each segment."""
    lengths, offsets = layout.lengths, layout.host_offsets
    count = max(1, -(-int(lengths.max()) // segment)) if len(lengths) else 1
    cut = (lengths[None] - segment * torch.arange(count)[:, None]).clamp(0, segment)
    layouts = [Layout.from_lengths(row, layout.offsets.device) for row in cut]
    if len(lengths) == 1 or count == 1:
        return None, layouts
    starts = (offsets[:-1][None] + segment * torch.arange(count)[:, None]).flatten()
    sizes = cut.flatten()
    first = torch.cumsum(sizes, 0) - sizes
    order = torch.arange(int(sizes.sum())) + torch.repeat_interleave(starts - first, sizes)
    return order.to(layout.offsets.device), layouts
