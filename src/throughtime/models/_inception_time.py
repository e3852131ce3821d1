"""`InceptionTime` (Fawaz 2020): an ensemble of networks of wide convolutions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.nn import Conv1d, ConvBlock, Linear, MaxPool1d, Parallel, Pool, Residual, WideConv
from throughtime.nn.description import Series, SideBySide
from throughtime.ragged import Ragged


class InceptionTime(nn.Module):
    """Networks of inception modules, three to a residual block, whose probabilities are averaged.

    A module is a bottleneck of one step → convolutions of 40, 20 and 10 steps side by side, next to a maximum
    over 3 steps → a convolution of one step; then batch normalisation and ReLU. Each network ends with the
    mean over time and a linear layer. With univariate input the first module has no bottleneck.

    Parameters
    ----------
    in_channels : int
        Features per step.
    classes : int
        C, the number of classes.
    members : int
        Networks (5 in the paper; 1 is its "Inception" network). They are trained one by one: ``members[i]``
        gives the logits of one, and the whole is for prediction.
    depth : int
        Inception modules in each network.
    channels : int
        Features of each convolution, and of the bottleneck.
    kernel_sizes : sequence of int
        Of the convolutions side by side.

    Raises
    ------
    ShapeError
        If there is no member.

    References
    ----------
    .. [1] H. Ismail Fawaz et al., "InceptionTime: finding AlexNet for time series classification", Data
       Mining and Knowledge Discovery 34 (2020), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.InceptionTime(in_channels=2, classes=3, members=2)
    >>> logits = model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)]))
    >>> torch.allclose(logits.exp().sum(1), torch.ones(2))  # they are those of the mean probabilities
    True
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        members: int = 5,
        depth: int = 6,
        channels: int = 32,
        kernel_sizes: tuple[int, ...] = (40, 20, 10),
    ) -> None:
        super().__init__()
        if members < 1:
            raise ShapeError(f"InceptionTime: an ensemble has at least 1 member, got {members}")
        self.members = nn.ModuleList(
            _network(in_channels, classes, depth, channels, kernel_sizes) for _ in range(members)
        )

    def describe(self) -> SideBySide:
        """Return the members, whose probabilities are averaged."""
        branches = (
            (f"members.{place}", Series((("", member), ("log_softmax", _log_probabilities))))
            for place, member in enumerate(self.members)
        )
        return SideBySide(tuple(branches), _log_of_mean)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        """Return the logarithm of the members' mean probabilities, (B, C).

        Of series (T, in_channels), or of a tensor (B, in_channels, L).
        """
        mean: Tensor = self.describe()(x)
        return mean


def _log_probabilities(logits: Tensor) -> Tensor:
    return F.log_softmax(logits, 1)


def _log_of_mean(log_probabilities: list[Tensor]) -> Tensor:
    return torch.stack(log_probabilities).logsumexp(0) - math.log(len(log_probabilities))


def _network(
    in_channels: int, classes: int, depth: int, channels: int, kernel_sizes: tuple[int, ...]
) -> nn.Sequential:
    width = channels * (len(kernel_sizes) + 1)
    modules = [_module(width if place else in_channels, channels, kernel_sizes) for place in range(depth)]
    body: list[nn.Module] = []
    for start in range(0, depth - depth % 3, 3):
        shortcut = ConvBlock(width if start else in_channels, width, 1, norm="batch", activation=None)
        body.append(Residual(nn.Sequential(*modules[start : start + 3]), shortcut, activation=F.relu))
    body += modules[depth - depth % 3 :]
    return nn.Sequential(*body, Pool("mean"), Linear(width, classes))


def _module(in_channels: int, channels: int, kernel_sizes: tuple[int, ...]) -> nn.Sequential:
    bottleneck = Conv1d(in_channels, channels, 1, bias=False) if in_channels > 1 else nn.Identity()
    wide = WideConv(channels if in_channels > 1 else 1, channels, kernel_sizes, bias=False, activation=None)
    pooled = nn.Sequential(MaxPool1d(3, 1, 1), Conv1d(in_channels, channels, 1, bias=False))
    both = Parallel(nn.Sequential(bottleneck, wide), pooled)
    return nn.Sequential(both, nn.BatchNorm1d(channels * (len(kernel_sizes) + 1)), nn.ReLU())
