"""`FCN` (Wang 2017): convolutions alone, and the mean over time."""

from collections.abc import Sequence

from torch import Tensor, nn

from throughtime.nn import ConvStack, Linear, Pool
from throughtime.nn.description import Series
from throughtime.ragged import Ragged


class FCN(nn.Module):
    """Three blocks of convolution, batch normalisation and ReLU → mean over time → linear.

    Parameters
    ----------
    in_channels : int
        Features per step.
    classes : int
        C, the number of classes.
    channels : sequence of int
        Features of each block (128, 256, 128 in the paper).
    kernel_sizes : sequence of int
        Of each block (8, 5, 3 in the paper).

    References
    ----------
    .. [1] Z. Wang, W. Yan and T. Oates, "Time series classification from scratch with deep neural networks: a
       strong baseline", IJCNN (2017), section II.B. A bias before batch normalisation has no effect and is
       left out.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.FCN(in_channels=2, classes=3)
    >>> tuple(model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)])).shape)
    (2, 3)
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: Sequence[int] = (128, 256, 128),
        kernel_sizes: Sequence[int] = (8, 5, 3),
    ) -> None:
        super().__init__()
        self.body = ConvStack(in_channels, channels, kernel_sizes, padding="same", norm="batch")
        self.pool = Pool("mean")
        self.output = Linear(channels[-1], classes)

    def describe(self) -> Series:
        """Return body, pooling and output, in the order in which they run."""
        return Series.of(body=self.body, pool=self.pool, output=self.output)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        """Return the logits (B, C) of series (T, in_channels), or of a tensor (B, in_channels, L)."""
        logits: Tensor = self.describe()(x)
        return logits
