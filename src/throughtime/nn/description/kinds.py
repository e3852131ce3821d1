"""Descriptions of single layers: what an output step depends on.

A description is data. `throughtime.nn.receptive_field`, `output_lengths` and `Stream` read it; none of them
knows a class of layers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from throughtime.nn.description.field import ALL_STEPS, ONE_STEP, ReceptiveField
from throughtime.ops.windows import Windows
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Tokenwise:
    """Each output step depends on the input step of the same number alone.

    Parameters
    ----------
    batch_statistics : bool
        Whether the layer takes statistics from the whole batch at present, as batch normalisation does in
        training. Then every output depends on all steps of the batch.
    """

    batch_statistics: bool = False

    @property
    def field(self) -> ReceptiveField:
        """The one step (in evaluation mode)."""
        return ONE_STEP

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the lengths."""
        return lengths


@dataclass(frozen=True)
class Windowed:
    """Each output step depends on the input steps of one window.

    Parameters
    ----------
    windows : Windows
        Size, stride, dilation and borders of the windows, in steps.
    run : callable, optional
        ``run(x, windows)`` applies the layer to a `Ragged` with windows of other borders; streams need it.
    features : int, optional
        Features per input step, if the layer has a fixed number.
    ceil_mode : bool
        Whether a last window may reach beyond the end.
    causal_padding : str
        The value of ``padding`` with which the layer has no border at the end, for error messages.
    not_on_streams : str
        Why the layer does not run on streams although it has no border at the end; empty if it does.
    """

    windows: Windows
    run: Callable[[Ragged, Windows], Ragged] | None = None
    features: int | None = None
    ceil_mode: bool = False
    causal_padding: str = "0"
    not_on_streams: str = ""

    @property
    def field(self) -> ReceptiveField:
        """The steps of the window."""
        windows = self.windows
        return ReceptiveField(-windows.left, windows.reach - windows.left, windows.stride)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return how many windows fit each length, 0 where none does."""
        return self.windows.output_lengths(lengths, ceil_mode=self.ceil_mode)


@dataclass(frozen=True)
class Spread:
    """Each input step contributes to a window of output steps, as in a transposed convolution.

    Parameters
    ----------
    windows : Windows
        Of the convolution that this one transposes: ``left`` and ``right`` output steps are cut off.
    output_padding : int
        Output steps added at the end of each sequence.
    """

    windows: Windows
    output_padding: int = 0

    @property
    def field(self) -> ReceptiveField:
        """The input steps t with t · stride + k · dilation − left = s for a tap k, of output step s."""
        windows = self.windows
        first, last, stride = (
            Fraction(steps, windows.stride) for steps in (windows.left - windows.reach, windows.left, 1)
        )
        return ONE_STEP.then(ReceptiveField(first, last, stride))

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the lengths that torch gives each sequence alone, 0 where the cut leaves nothing."""
        windows = self.windows
        longer = (lengths - 1) * windows.stride + windows.reach + 1 + self.output_padding
        longer = longer - windows.left - windows.right
        return torch.where(lengths == 0, 0, longer.clamp(min=0))


@dataclass(frozen=True)
class Stateful:
    """Each output step depends on all input steps up to its own, by a state that is passed from step to step.

    Parameters
    ----------
    run : callable
        ``output, state = run(x, state)`` on a `Ragged`; a state of None is the initial one.
    step : callable
        ``y_t, state = step(x_t, state)`` on one step of every sequence, (B, …).
    """

    run: Callable[[Ragged, Any], tuple[Any, Any]]
    step: Callable[[Tensor, Any], tuple[Any, Any]]

    @property
    def field(self) -> ReceptiveField:
        """All steps so far."""
        return ReceptiveField(ALL_STEPS.first, 0, 1)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the lengths."""
        return lengths


@dataclass(frozen=True)
class WholeSequence:
    """Each output depends on every step of its sequence.

    Parameters
    ----------
    reason : str
        Why, as the end of a sentence that begins with the layer's name: "pools the whole sequence".
    pools : bool
        Whether the output is one value for each sequence. Otherwise it has as many steps as the input.
    running : callable, optional
        Of a layer that pools: ``y, state = running(x, state)`` returns the value of each sequence so far,
        given its next steps as a `Ragged`, and the state after them; a state of None is the initial one.
        `throughtime.Stream` needs it.
    """

    reason: str
    pools: bool = False
    running: Callable[[Ragged, Any], tuple[Tensor, Any]] | None = None

    @property
    def field(self) -> ReceptiveField:
        """All steps."""
        return ALL_STEPS

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the lengths; there are none if it pools."""
        return lengths


@dataclass(frozen=True)
class NoSequence:
    """The layer does not map sequences to sequences, so that none of this applies to it.

    Parameters
    ----------
    reason : str
        Why, and what to do, as the end of a sentence that begins with the layer's name.
    row : tuple of int, optional
        Sizes of one of the rows that the layer reads, each by itself, if it reads a tensor (N, ...) of them.
    """

    reason: str
    row: tuple[int, ...] | None = None


Layer = Tokenwise | Windowed | Spread | Stateful | WholeSequence | NoSequence
"""The description of a layer that is not made of other layers."""
