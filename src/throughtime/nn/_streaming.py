"""Causal stacks on streams, step by step and chunk by chunk: `Stream`, and `step` and `chunk` of blocks.

What a stream needs is the state of each layer with windows: the last steps that it has seen, and how many
steps to wait until the next window is full. A state has the structure of the model's parts.
"""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import KindError, NotCausalError, ShapeError
from throughtime.nn._conv import Conv1d
from throughtime.nn._leaves import described, is_recurrent, is_tokenwise, reads_all, unknown, windows_seen
from throughtime.nn._norm import takes_batch_statistics
from throughtime.nn._output import RecurrentOutput, as_ragged, check_features
from throughtime.nn._parts import Composite, Series, SideBySide, join, parts_of
from throughtime.nn._pool_windows import AvgPool1d, MaxPool1d
from throughtime.nn._window_state import advance, begin, check
from throughtime.ops.conv import conv1d
from throughtime.ops.pool_windows import max_over_windows, mean_over_windows
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout, Ragged


class Streamed(Composite):
    """A block that runs on streams, too, if all its parts are causal."""

    def chunk(self, x: Any, state: Any = None) -> RecurrentOutput:
        """Run on the next steps of every stream; see `Stream`."""
        return run_chunk(self, x, state)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run on the next step of every stream; see `Stream.step`."""
        return run_step(self, x_t, state)


class Stream(nn.Module):
    r"""A causal model on streams: each call takes the next steps of every stream, and the state so far.

    ``y, state = stream(x, state)`` as a recurrent layer has it: the outputs of all chunks, one after the
    other, are those of the whole sequences, whatever the chunks' lengths, which may differ from stream to
    stream and be zero. Strides are kept in step across chunks; a pooling window or a convolution without
    border gives its output when its last step has come. Blocks have the same as methods:
    ``block.chunk(x, state)`` and ``block.step(x_t, state)``.

    Parameters
    ----------
    model : Module
        A layer, a block, or a `torch.nn.Sequential` of them: causal convolutions, window pooling, recurrent
        layers, anything that treats each step alone; batch normalisation in evaluation mode.

    Returns
    -------
    output : Ragged
        What the model makes of these steps.
    state
        For the next call, with tensors (B, …) in it; it carries gradients until it is detached.

    Raises
    ------
    NotCausalError
        If a part needs steps that have not come yet; the message names it and says why.
    ShapeError
        If the features or the state do not fit.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> stack = tt.nn.ConvStack(4, [8, 8], 3, dilations=(1, 2), padding="causal")
    >>> stream, state = tt.nn.Stream(stack), None
    >>> first, state = stream(tt.Ragged.from_list([torch.randn(5, 4), torch.randn(0, 4)]), state)
    >>> second, state = stream(tt.Ragged.from_list([torch.randn(1, 4), torch.randn(3, 4)]), state)
    >>> second
    Ragged(lengths=[1, 3], features=(8,), dtype=float32, requires_grad=True)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input: Any, state: Any = None) -> RecurrentOutput:  # noqa: A002 - torch's name
        """Return the outputs of the next steps of every stream, and the state after them."""
        return run_chunk(self.model, input, state)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run one step of every stream.

        Parameters
        ----------
        x_t : Tensor
            (B, C), one token of each of B streams, or (C,) of one; integers (B,) where an Embedding is first.
        state
            What the step or chunk before returned, None at the beginning.

        Returns
        -------
        y_t : Tensor
            (B, O), or (O,).
        state
            For the next step or chunk.
        """
        return run_step(self.model, x_t, state)


def run_chunk(model: nn.Module, x: Any, state: Any) -> RecurrentOutput:
    """Run a model on the next steps of every stream."""
    y, state = _run(model, as_ragged(x, "a stream"), state, "", one=False)
    return RecurrentOutput(y, state)


def run_step(model: nn.Module, x_t: Any, state: Any) -> tuple[Tensor, Any]:
    """Run a model on one step of every stream."""
    if not isinstance(x_t, Tensor) or x_t.dim() > 2:
        kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
        raise ShapeError(f"step takes one token (C,), or one of each stream (B, C), got {kind}")
    alone = x_t.dim() == (1 if x_t.is_floating_point() else 0)
    tokens = x_t.unsqueeze(0) if alone else x_t
    layout = Layout.from_lengths(torch.ones(len(tokens), dtype=torch.int64), tokens.device)
    y, state = _run(model, Ragged(tokens, layout.offsets, layout=layout), state, "", one=True)
    return (y.values[0] if alone else y.values), state


def _run(part: Any, x: Ragged, state: Any, path: str, *, one: bool) -> tuple[Ragged, Any]:
    structure = parts_of(part)
    if structure is None:
        return _leaf(part, x, state, path, one=one)
    states = _states(structure, state, path)
    after = []
    if isinstance(structure, Series):
        for (name, inner), before in zip(structure.parts, states, strict=True):
            x, end = _run(inner, x, before, join(path, name), one=one)
            after.append(end)
        return x, tuple(after)
    outputs = []
    for (name, inner), before in zip(structure.parts, states, strict=True):
        y, end = _run(inner, x, before, join(path, name), one=one)
        outputs.append(y)
        after.append(end)
    return structure.merge(outputs), tuple(after)


def _states(structure: Series | SideBySide, state: Any, path: str) -> tuple[Any, ...]:
    count = len(structure.parts)
    if state is None:
        return (None,) * count
    if not isinstance(state, tuple | list) or len(state) != count:
        got = f"a {type(state).__name__} of {len(state)}" if isinstance(state, tuple | list) else type(state)
        raise KindError(f"{path or 'the model'} has {count} parts with a state each, got {got} as its state")
    return tuple(state)


def _leaf(layer: Any, x: Ragged, state: Any, path: str, *, one: bool) -> tuple[Ragged, Any]:
    windows = windows_seen(layer)
    if windows is not None:
        return _windowed(layer, windows, x, state, path, one=one)
    why = reads_all(layer)
    if why is not None:
        raise NotCausalError(
            f"{described(layer, path)} {why}, of which a stream has no end yet; leave it out"
        )
    if is_recurrent(layer):
        if not one:
            output, state = layer(x, state)
            return output, state
        y_t, state = layer.step(x.values, state)
        return x.with_values(y_t), state
    if not is_tokenwise(layer):
        raise unknown(layer, path)
    if takes_batch_statistics(layer):
        raise NotCausalError(
            f"{described(layer, path)} takes its statistics from the whole batch; call model.eval(), so "
            "that it uses its running ones"
        )
    return layer(x), ()


def _windowed(
    layer: Any, windows: Windows, x: Ragged, state: Any, path: str, *, one: bool
) -> tuple[Ragged, Any]:
    _check_causal(layer, windows, path)
    if one and (windows.stride != 1 or windows.left != windows.reach):
        raise NotCausalError(
            f"{described(layer, path)} has no output at every step (stride {windows.stride}, "
            f"{windows.left} of {windows.reach} steps of border in front); run it chunk by chunk"
        )
    if isinstance(layer, Conv1d):
        check_features(x, layer.in_channels, described(layer, path))
    if state is None:
        state = begin(x, windows)
    check(state, x, windows, described(layer, path))
    seen, state = advance(state, x, windows)
    return _applied(layer, windows._replace(left=0, right=0), seen), state


def _check_causal(layer: Any, windows: Windows, path: str) -> None:
    name = described(layer, path)
    if windows.right:
        fitting = "'causal'" if isinstance(layer, Conv1d) else "0"
        raise NotCausalError(
            f"{name} has {windows.right} steps of border at the end of a sequence, so it sees ahead, and a "
            f"stream has no end yet; use padding={fitting}"
        )
    if getattr(layer, "ceil_mode", False):
        raise NotCausalError(f"{name}: with ceil_mode a window hangs over the end, which has not come yet")
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        raise NotCausalError(f"{name}: on a stream the border is zeros, got {layer.padding_mode!r}")


def _applied(layer: Any, windows: Windows, x: Ragged) -> Ragged:
    """Run a layer on full windows alone."""
    if isinstance(layer, Conv1d):
        values, layout = conv1d(x.values, x.layout, layer.weight, layer.bias, windows, layer.groups)
    elif isinstance(layer, MaxPool1d):
        values, layout = max_over_windows(x.values, x.layout, windows)
    elif isinstance(layer, AvgPool1d):
        values, layout = mean_over_windows(x.values, x.layout, windows)
    else:
        raise KindError(f"{type(layer).__name__} does not run on a Ragged; use that of throughtime.nn")
    return Ragged(values, layout.offsets, layout=layout)
