"""The recurrent layer on devices without a native kernel: torch's fused layers, such as cuDNN on CUDA.

Sequences of unequal lengths are packed as for torch's recurrent layers. Packing does not support sequences
without tokens, so they are excluded and keep their initial state. Operations are differentiable as in torch.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import BATCH_FIRST, TIME_MAJOR, Steps, host_lengths, rows
from throughtime.ops.recurrent.weights import Weights


def torch_knows(spec: CellSpec, directions: tuple[Weights, ...]) -> bool:
    """Tell whether torch has a layer of this cell, and there is no context."""
    return spec.torch_function is not None and directions[0].context is None


def recurrent_layer_torch(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, h_n and c_n as `recurrent_layer_reference` does, in the dtype of the tensors."""
    h0, c0 = _initial(x, steps, spec, h0, c0, directions)
    if x.shape[0] == 0:
        return _without_tokens(x, h0, c0, directions)
    if steps.order in {TIME_MAJOR, BATCH_FIRST}:
        first = steps.order == BATCH_FIRST
        shape = (steps.batch, steps.length) if first else (steps.length, steps.batch)
        y, h_n, c_n = _fused(x.unflatten(0, shape), None, spec, h0, c0, directions, batch_first=first)
        return y.flatten(0, 1), h_n, c_n
    lengths = host_lengths(steps)
    order = torch.argsort(lengths, descending=True, stable=True)
    order = order[: int((lengths > 0).sum())]
    step = torch.arange(int(lengths.max()))
    alive = lengths[order][None, :] > step[:, None]
    place = rows(steps, order[None, :].expand_as(alive)[alive], step[:, None].expand_as(alive)[alive])
    place, order = place.to(x.device), order.to(x.device)
    y, h_n, c_n = _fused(
        x.index_select(0, place),
        alive.sum(1),
        spec,
        h0.index_select(1, order),
        c0.index_select(1, order) if spec.has_c else c0,
        directions,
        batch_first=False,
    )
    y = y.index_select(0, torch.argsort(place))
    return y, h0.index_copy(1, order, h_n), c0.index_copy(1, order, c_n) if spec.has_c else c_n


def _initial(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
) -> tuple[Tensor, Tensor]:
    rows_of_gates, size = directions[0].hh.shape
    if h0 is None:
        h0 = x.new_zeros(len(directions), steps.batch, size)
    if not spec.has_c:
        return h0, x.new_zeros(0)
    return h0, x.new_zeros(len(directions), steps.batch, rows_of_gates // 4) if c0 is None else c0


def _without_tokens(
    x: Tensor, h0: Tensor, c0: Tensor, directions: tuple[Weights, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Nothing in, nothing out, but in the graph: gradients are zero, not missing."""
    outputs = []
    for weights in directions:
        y = torch.nn.functional.linear(x, weights.ih, weights.bias_ih)[:, :1]
        state = torch.nn.functional.linear(x.new_zeros(0, weights.hh.shape[1]), weights.hh, weights.bias_hh)
        y = y + state[:, :1]
        if weights.hr is not None:
            y = y + torch.nn.functional.linear(x.new_zeros(0, weights.hr.shape[1]), weights.hr)[:, :1]
        outputs.append(y.expand(0, weights.hh.shape[1]))
    joined = torch.cat(outputs, 1)
    return joined, h0 + joined.sum(), c0 + joined.sum()


def _fused(
    tokens: Tensor,
    batch_sizes: Tensor | None,
    spec: CellSpec,
    h0: Tensor,
    c0: Tensor,
    directions: tuple[Weights, ...],
    *,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    weights = [part for direction in directions for part in direction if part is not None]
    both = len(directions) == 2
    # cuDNN saves tensors for the backward pass only with train=True; there is no dropout here.
    options = (directions[0].bias_ih is not None, 1, 0.0, torch.is_grad_enabled(), both)
    state = (h0.contiguous(), c0.contiguous()) if spec.has_c else h0.contiguous()
    # The autocast dtypes are the caller's.
    with torch.autocast(tokens.device.type, enabled=False), _without_weight_warning():
        if batch_sizes is None:
            found = spec.torch_function(tokens, state, weights, *options, batch_first)
        else:
            found = spec.torch_function(tokens, batch_sizes, state, weights, *options)
    return found if spec.has_c else (*found, c0)


@contextmanager
def _without_weight_warning() -> Iterator[None]:
    """Silence cuDNN's warning that it copies the weights into one block at each call.

    They are parameters of their own, and ``flatten_parameters``, which the warning advises, is torch.nn's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        yield
