"""`recomputed`: backpropagation through whole sequences, in memory for the square root of their steps."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from throughtime.errors import KindError, ShapeError
from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ragged import Layout, Ragged

# Of √T: a segment costs some tenths of a millisecond beside its steps, and little memory.
_FACTOR = 4


def recomputed(
    layer: Recurrent,
    x: Ragged,
    state: Any = None,
    *,
    context: Tensor | None = None,
    segment: int | None = None,
    outputs: bool = True,
) -> RecurrentOutput:
    r"""Return ``layer(x, state)``, keeping for the backward pass only the states between segments of steps.

    The backward pass runs each segment again, from its last to its first, and takes its gradient. So what is
    kept are the input, T/S states, and what the layer keeps of S steps: with S ~ √T memory grows with √T, and
    time by one forward pass. Gradients are those of the whole: values are the same bits, sums over steps are
    added up segment by segment, so gradients of weights agree to round-off.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Of `throughtime.nn`, in one direction.
    x : Ragged
        (T, I)
    state, context
        As in a call of the layer.
    segment
        S, by default four times the square root of the longest sequence's steps.
    outputs
        Whether h of every step is wanted. Without them the output has no features, (T, 0): a loss on final
        states then needs no memory for T states.

    Returns
    -------
    RecurrentOutput
        ``output, state`` as of the layer.

    Raises
    ------
    ShapeError, KindError
        If the layer reads in both directions, ``segment`` is below 1, or the input is no `Ragged`.

    References
    ----------
    .. [1] T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174 (2016).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LSTM(3, 5)
    >>> x = tt.Ragged.from_list([torch.randn(1000, 3), torch.randn(300, 3)])
    >>> output, (h, c) = tt.bptt.recomputed(layer, x)
    >>> torch.equal(h, layer(x).state[0])
    True
    >>> h.sum().backward()
    """
    if not isinstance(layer, Recurrent):
        raise KindError(f"recomputed takes a tt.nn.RNN, LSTM or GRU, got {type(layer).__name__}")
    if layer.bidirectional:
        raise ShapeError(
            "recomputed goes through time in segments, which a bidirectional layer cannot: its second "
            "direction begins at the end; use a layer for each direction, the second on x.reverse()"
        )
    if not isinstance(x, Ragged):
        raise KindError(f"recomputed takes a Ragged batch, got {type(x).__name__}")
    if segment is None:
        segment = _FACTOR * (math.isqrt(max(0, x.longest - 1)) + 1)
    if segment < 1:
        raise ShapeError(f"a segment has at least one step, got {segment}")
    order, layouts = _segments(x.layout, segment)
    values = x.values if order is None else x.values.index_select(0, order)
    # `split` cuts without a copy, and its backward pass joins the pieces once.
    pieces = values.split([layout.total for layout in layouts])
    pair = layer.spec.has_c
    draws = bool(layer.dropout) and layer.training and layer.num_layers > 1

    def run(piece: Tensor, layout: Layout, *carried: Tensor) -> tuple[Tensor, ...]:
        given: Any = None if not carried else carried if pair else carried[0]
        made = layer(Ragged(piece, layout.offsets, layout=layout), given, context=context)
        h = made.output.values if outputs else made.output.values[:, :0]
        return (h, *made.state) if pair else (h, made.state)

    carried = () if state is None else tuple(state) if pair else (state,)
    found = []
    for piece, layout in zip(pieces, layouts, strict=True):
        h, *carried = checkpoint(run, piece, layout, *carried, use_reentrant=False, preserve_rng_state=draws)
        found.append(h)
    joined = torch.cat(found)
    if order is not None:
        joined = joined.index_select(0, torch.argsort(order))
    return RecurrentOutput(x.with_values(joined), tuple(carried) if pair else carried[0])


def _segments(layout: Layout, segment: int) -> tuple[Tensor | None, list[Layout]]:
    """Return the tokens in the order of segments, None where that is theirs, and the layout of each."""
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
