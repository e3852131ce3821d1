"""Causal models on streams, step by step and chunk by chunk: `Stream`, and `step` and `chunk` of blocks.

What a stream needs is the state of each layer with windows: the last steps that it has seen, and how many
steps to wait until the next window is full. A state has the structure of the model's parts.
"""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.kinds import Layer, Stateful, WholeSequence, Windowed
from throughtime.nn.description.lookup import described, description_of
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.parts import Composition, Series, SideBySide, join
from throughtime.nn.inputs.output import RecurrentOutput, as_ragged, check_features, unwrapped
from throughtime.nn.streaming._window_state import advance, begin, check
from throughtime.nn.streaming.causal import Mode, check_layer, forward_in_time
from throughtime.ragged import Layout, Ragged


class Block(nn.Module):
    """A module defined by its description, which also supports streams if all parts are causal."""

    def describe(self) -> Composition:
        """Return the description of the block."""
        raise NotImplementedError

    def forward(self, input: Any) -> Any:  # noqa: A002 - torch's name
        """Return the output, of the kind that came in: Ragged (T, C) or tensor (N, C, L)."""
        return self.describe()(unwrapped(input))

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
        A layer, a block, a `torch.nn.Sequential` of them, or a module with a method ``describe()``, see
        `throughtime.nn.description`: causal convolutions, window pooling, recurrent layers, anything that
        treats each step alone; batch normalisation in evaluation mode.

    Returns
    -------
    output : Ragged
        What the model makes of these steps.
    state
        For the next call, with tensors (B, …) in it; it carries gradients until it is detached.

    Raises
    ------
    NotCausalError
        If a part needs future steps; the message names it with the reason.
    ShapeError
        If the features or the state do not fit.
    InputTypeError
        If a part has no description, or has hooks or overridden methods.

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

    def describe(self) -> Series:
        """Return the model."""
        return Series.of(model=self.model)

    def operators(self) -> tuple[Operator, ...]:
        """Return the stream itself: exported as its model, it would lose the state between calls."""
        return (Operator.of("throughtime.nn.Stream", model=self.model),)

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
    y, state = _run(model, as_ragged(x, "a stream"), state, "", "chunk")
    return RecurrentOutput(y, state)


def run_pooled(model: nn.Module, x: Ragged, state: Any) -> tuple[Any, Any]:
    """Run a model on the next steps of every stream; what it pools is the value (B, …) so far."""
    return _run(model, x, state, "", "pooled")


def run_step(model: nn.Module, x_t: Any, state: Any) -> tuple[Tensor, Any]:
    """Run a model on one step of every stream."""
    if not isinstance(x_t, Tensor) or x_t.dim() > 2:
        kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
        raise ShapeError(f"step takes one token (C,), or one of each stream (B, C), got {kind}")
    alone = x_t.dim() == (1 if x_t.is_floating_point() else 0)
    tokens = x_t.unsqueeze(0) if alone else x_t
    layout = Layout.from_lengths(torch.ones(len(tokens), dtype=torch.int64), tokens.device)
    y, state = _run(model, Ragged(tokens, layout.offsets, layout=layout), state, "", "step")
    return (y.values[0] if alone else y.values), state


def _run(part: Any, x: Any, state: Any, path: str, mode: Mode) -> tuple[Any, Any]:
    description = description_of(part, path)
    if isinstance(description, Layer):
        check_layer(part, description, path, mode)
        return _layer(part, description, x, state, path, mode)
    composition = forward_in_time(description, path)
    states = _states(composition, state, path)
    after = []
    if isinstance(composition, Series):
        for (name, inner), before in zip(composition.parts, states, strict=True):
            x, end = _run(inner, x, before, join(path, name), mode)
            after.append(end)
        return x, tuple(after)
    outputs = []
    for (name, inner), before in zip(composition.parts, states, strict=True):
        y, end = _run(inner, x, before, join(path, name), mode)
        outputs.append(y)
        after.append(end)
    return composition.merge(outputs), tuple(after)


def _states(structure: Series | SideBySide, state: Any, path: str) -> tuple[Any, ...]:
    count = len(structure.parts)
    if state is None:
        return (None,) * count
    if not isinstance(state, tuple | list) or len(state) != count:
        got = f"a {type(state).__name__} of {len(state)}" if isinstance(state, tuple | list) else type(state)
        raise InputTypeError(f"{path or 'the model'} has {count} parts with a state, got {got} as its state")
    return tuple(state)


def _layer(layer: Any, description: Layer, x: Any, state: Any, path: str, mode: Mode) -> tuple[Any, Any]:
    if isinstance(description, Windowed):
        return _windowed(description, x, state, described(layer, path))
    if isinstance(description, Stateful):
        if mode != "step":
            output, state = description.run(x, state)
            return output, state
        y_t, state = description.step(x.values, state)
        return x.with_values(y_t), state
    if isinstance(description, WholeSequence):
        return description.running(x, state)  # type: ignore[misc]
    return layer(x), ()


def _windowed(layer: Windowed, x: Ragged, state: Any, name: str) -> tuple[Ragged, Any]:
    windows = layer.windows
    if layer.features is not None:
        check_features(x, layer.features, name)
    if state is None:
        state = begin(x, windows)
    check(state, x, windows, name)
    seen, state = advance(state, x, windows)
    return layer.run(seen, windows._replace(left=0, right=0)), state  # type: ignore[misc]
