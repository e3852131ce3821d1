"""Steps of a fixed number as features, for models whose linear layers read whole sequences."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.models._one_length import first_steps, of_one_length
from throughtime.nn.description import Operator, Tokenwise, WholeSequence
from throughtime.ragged import Ragged

_ONE_LENGTH = "reads the whole text, cut or filled up to one length"


class OneHotSteps(nn.Module):
    """The first tokens of each text as one-hot vectors; zeros behind its end, and for unknown tokens.

    Parameters
    ----------
    size : int
        V: tokens are integers from 0 to below it.
    length : int
        Steps of each result.
    """

    zero: Tensor

    def __init__(self, size: int, length: int) -> None:
        super().__init__()
        self.size, self.length = size, length
        self.register_buffer("zero", torch.zeros(()), persistent=False)  # of the model's dtype and device

    def describe(self) -> WholeSequence:
        """State that every text gets the same number of steps."""
        return WholeSequence(_ONE_LENGTH)

    def operators(self) -> tuple[Operator, ...]:
        """Return the operator."""
        return (Operator.of("throughtime.models.OneHotSteps", size=self.size, length=self.length),)

    def forward(self, tokens: Ragged) -> Ragged:
        """Return (B · length, V) of tokens (T,)."""
        frame = first_steps(tokens, self.length, filler=self.size)
        known = torch.where((frame >= 0) & (frame < self.size), frame, self.size)
        table = F.pad(torch.eye(self.size).to(self.zero), (0, 0, 0, 1))
        return of_one_length(table[known])

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.size}, length={self.length}"


class StepsAsFeatures(nn.Module):
    """The features of all steps of sequences of one length side by side, (B, length · D).

    Parameters
    ----------
    length, features : int
        Steps of each sequence, and D.
    """

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.length, self.features = length, features

    def describe(self) -> WholeSequence:
        """State that no steps are left."""
        return WholeSequence(_ONE_LENGTH, pools=True)

    def operators(self) -> tuple[Operator, ...]:
        """Return the operator."""
        sizes = {"length": self.length, "features": self.features}
        return (Operator("throughtime.models.StepsAsFeatures", sizes),)

    def forward(self, x: Ragged) -> Tensor:
        """Return (B, length · D) of (B · length, D)."""
        return x.values.reshape(x.layout.num_sequences, self.length * self.features)

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.length}, {self.features}"


class OneLength(nn.Module):
    """Outputs (B, N) of series of one length, as they are; exported, those of other series become NaN."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def describe(self) -> Tokenwise:
        """State that nothing is computed."""
        return Tokenwise()

    def operators(self) -> tuple[Operator, ...]:
        """Return the operator."""
        return (Operator.of("throughtime.models.OneLength", length=self.length),)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        return x


class ChannelsAsSteps(nn.Module):
    """Series of one length L with channels in place of steps, and steps in place of channels: (B · C, L).

    Parameters
    ----------
    length, channels : int
        L and C.
    """

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        self.length, self.channels = length, channels

    def describe(self) -> WholeSequence:
        """State that a step has all steps of a channel."""
        return WholeSequence("reads the whole series of a channel as one step")

    def operators(self) -> tuple[Operator, ...]:
        """Return the operator."""
        sizes = {"length": self.length, "channels": self.channels}
        return (Operator("throughtime.models.ChannelsAsSteps", sizes),)

    def forward(self, x: Any) -> Any:
        """Return the series (B · C, L) of (B · L, C)."""
        values = x.values.reshape(-1, self.length, self.channels).transpose(1, 2)
        return of_one_length(values.contiguous())

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.length}, {self.channels}"
