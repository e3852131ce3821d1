"""`TCN` (Bai 2018): dilated causal convolutions in residual blocks."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from throughtime.nn import Linear, Pool, TemporalBlock, dilation_schedule
from throughtime.nn.description import Series
from throughtime.ragged import Ragged


class TCN(nn.Module):
    """Residual blocks of causal convolutions, their dilation doubling from block to block → linear.

    Parameters
    ----------
    in_channels : int
        Features per step.
    classes : int
        C, the number of classes.
    channels : sequence of int
        Features of each block (8 blocks of 25 for the paper's sequential MNIST).
    kernel_size : int
        Of all convolutions (7 there).
    dropout : float
        After each convolution (0.0 there).

    References
    ----------
    .. [1] S. Bai, J. Z. Kolter and V. Koltun, "An empirical evaluation of generic convolutional and recurrent
       networks for sequence modeling", arXiv:1803.01271 (2018), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model, x = tt.models.TCN(2, 3), tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)])
    >>> tuple(model(x).shape)  # read off each sequence's last step
    (2, 3)
    >>> model.every_step(x)
    Ragged(lengths=[9, 4], features=(3,), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: Sequence[int] = (25,) * 8,
        kernel_size: int = 7,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        dilations = dilation_schedule(len(channels))
        self.body = nn.Sequential(
            *(
                TemporalBlock(below, above, kernel_size, dilation=dilation, dropout=dropout)
                for (below, above), dilation in zip(
                    pairwise((in_channels, *channels)), dilations, strict=True
                )
            )
        )
        self.pool = Pool("last")
        self.output = Linear(channels[-1], classes)

    def describe(self) -> Series:
        """Return body, pooling and output, in the order in which they run."""
        return Series.of(body=self.body, pool=self.pool, output=self.output)

    def forward(self, x: Ragged | Tensor) -> Tensor:
        """Return the logits (B, C) after the last step of series (T, in_channels).

        Or of a tensor (B, in_channels, L), as torch.nn has it.
        """
        logits: Tensor = self.describe()(x)
        return logits

    def every_step(self, x: Ragged) -> Ragged:
        """Return the logits (T, C) after every step, none of which sees a later one."""
        logits: Ragged = self.output(self.body(x))
        return logits
