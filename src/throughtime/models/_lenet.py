"""`LeNet` (LeCun 1998): images of digits."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn import ConvBlock2d, Linear
from throughtime.nn.description import NoSequence


class LeNet(nn.Module):
    """Two blocks of convolution and pooling → two hidden linear layers → linear, for images of 28 × 28.

    Parameters
    ----------
    classes : int
        C, the number of classes.
    in_channels : int
        Of the images.
    activation : callable
        After every layer but the last; the paper has a scaled tanh.
    pool : "mean" or "max"
        Over squares of 2 × 2; the paper has a mean with a learned factor and bias.

    Raises
    ------
    ShapeError
        If the pooling is neither.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
       recognition", Proceedings of the IEEE 86 (1998), section II.B: LeNet-5. Here the second convolution
       sees all maps of the first, pooling learns nothing, and the last layer is linear.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tuple(tt.models.LeNet(classes=10)(torch.randn(3, 1, 28, 28)).shape)
    (3, 10)
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        in_channels: int = 1,
        activation: Callable[[Any], Any] = torch.tanh,
        pool: Literal["mean", "max"] = "mean",
    ) -> None:
        super().__init__()
        if pool not in {"mean", "max"}:
            raise ShapeError(f"LeNet: pool is 'mean' or 'max', got {pool!r}")
        pooling = nn.AvgPool2d if pool == "mean" else nn.MaxPool2d
        self.in_channels, self.activation = in_channels, activation
        self.body = nn.Sequential(
            ConvBlock2d(in_channels, 6, 5, padding=2, activation=activation, pool=pooling(2)),
            ConvBlock2d(6, 16, 5, activation=activation, pool=pooling(2)),
        )
        self.hidden = nn.ModuleList((Linear(400, 120), Linear(120, 84)))
        self.output = Linear(84, classes)

    def describe(self) -> NoSequence:
        """State that images have no steps."""
        return NoSequence("reads images (N, C, 28, 28), which have no steps", (self.in_channels, 28, 28))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, C) of images (N, in_channels, 28, 28)."""
        x = self.body(images).flatten(1)
        for layer in self.hidden:
            x = self.activation(layer(x))
        logits: Tensor = self.output(x)
        return logits
