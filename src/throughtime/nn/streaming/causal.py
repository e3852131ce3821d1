"""Which layers run on a stream: those that need no future steps; the others are refused by name."""

from typing import Any, Literal

from throughtime.errors import InputTypeError, NotCausalError
from throughtime.nn.description.kinds import Layer, NoSequence, Spread, Tokenwise, WholeSequence, Windowed
from throughtime.nn.description.lookup import described, description_of
from throughtime.nn.description.parts import Composition, Reversed, Series, SideBySide, join

Mode = Literal["chunk", "step", "pooled"]
"""The next steps of every stream, one step of every stream, or the next steps where layers may pool."""


def check_causal(part: Any, path: str = "") -> None:
    """Check that a model runs on the chunks of streams; layers that pool give the value so far.

    Raises
    ------
    NotCausalError
        If a part needs future steps; the message names it with the reason.
    InputTypeError
        If a part has no description, or has hooks or overridden methods.
    """
    description = description_of(part, path)
    if isinstance(description, Layer):
        check_layer(part, description, path, "pooled")
        return
    for name, inner in forward_in_time(description, path).parts:
        check_causal(inner, join(path, name))


def forward_in_time(description: Composition, path: str) -> Series | SideBySide:
    """Return a composition that does not read sequences from their end.

    Raises
    ------
    NotCausalError
        If it does; the message names the part.
    """
    if isinstance(description, Reversed):
        raise NotCausalError(_no_end(described(description.part, path), "reads from the end, too"))
    return description


def check_layer(layer: Any, description: Layer, path: str, mode: Mode) -> None:
    """Refuse a layer that does not run on streams in this mode.

    Raises
    ------
    NotCausalError
        If it needs future steps.
    InputTypeError
        If it does not read sequences, or not as a `Ragged`.
    """
    name = described(layer, path)
    if isinstance(description, Windowed):
        _check_windows(description, name, mode)
    elif isinstance(description, WholeSequence):
        if description.running is None or mode != "pooled":
            raise NotCausalError(_no_end(name, description.reason))
    elif isinstance(description, Spread):
        raise NotCausalError(
            f"{name} spreads each step over a window of outputs, and how many of the last "
            "are cut off or added depends on the end, which a stream does not have yet; leave it out"
        )
    elif isinstance(description, NoSequence):
        raise InputTypeError(f"{name} {description.reason}")
    elif isinstance(description, Tokenwise) and description.batch_statistics:
        raise NotCausalError(
            f"{name} takes its statistics from the whole batch; call model.eval(), so that it uses its "
            "running ones"
        )


def _check_windows(layer: Windowed, name: str, mode: Mode) -> None:
    windows = layer.windows
    if windows.right:
        raise NotCausalError(
            f"{name} has {windows.right} steps of padding at the end of a sequence, so it needs future "
            f"steps, which a stream does not have; use padding={layer.causal_padding}"
        )
    if layer.ceil_mode:
        raise NotCausalError(
            f"{name}: with ceil_mode a window extends beyond the end, which a stream does not have yet; use "
            "ceil_mode=False"
        )
    if layer.not_on_streams:
        raise NotCausalError(f"{name}: {layer.not_on_streams}")
    if layer.run is None:
        raise InputTypeError(f"{name} does not run on a Ragged; use that of throughtime.nn")
    if mode == "step" and (windows.stride != 1 or windows.left != windows.reach):
        raise NotCausalError(
            f"{name} has no output at every step (stride {windows.stride}, {windows.left} of {windows.reach} "
            "steps of border in front); run it chunk by chunk"
        )


def _no_end(name: str, reason: str) -> str:
    return f"{name} {reason}, of which a stream has no end yet; leave it out"
