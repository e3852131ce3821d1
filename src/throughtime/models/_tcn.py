"""`TCN` (Bai 2018): dilated causal convolutions in residual blocks."""

from itertools import pairwise

from torch import Tensor, nn

from throughtime.models._inputs import ModelInputs
from throughtime.models._options import DropoutRate, EmbeddingSize, KernelSize, TCNChannels, for_each_block
from throughtime.models._sequence_model import SequenceModel, run
from throughtime.nn import Dropout, Pool, TemporalBlock, dilation_schedule
from throughtime.nn.description import Series
from throughtime.ragged import Ragged


class TCN(SequenceModel):
    """Residual blocks of causal convolutions, their dilation doubling from block to block → linear.

    Parameters
    ----------
    in_channels : int or ModelInputs
        Features per step; or what the model reads. Tokens are read through an embedding.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    channels : int or sequence of int
        Features of each block (8 blocks of 25 for the paper's sequential MNIST); one number is for 8 blocks.
    kernel_size : int
        Of all convolutions (7 there).
    dropout : float
        After each convolution (0.0 there), and on embeddings of tokens.
    embedding_size : int
        Features per token; without effect on a series.
    per_step : bool
        Whether there is an output for each step: the features are not pooled.

    Returns
    -------
    Tensor or Ragged
        (B, N), with ``per_step`` a Ragged (T, N).

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

    takes_tensors = True

    def __init__(
        self,
        in_channels: int | ModelInputs,
        outputs: int,
        *,
        channels: TCNChannels = (25,) * 8,
        kernel_size: KernelSize = 7,
        dropout: DropoutRate = 0.05,
        embedding_size: EmbeddingSize = 128,
        per_step: bool = False,
    ) -> None:
        inputs = ModelInputs.of(in_channels, "series")
        super().__init__(inputs, embedding_size=embedding_size, per_step=per_step)
        widths = for_each_block(channels, 8, "TCN")
        pairs, dilations = pairwise((self.step_features, *widths)), dilation_schedule(len(widths))
        self.body = nn.Sequential(
            *(
                TemporalBlock(below, above, kernel_size, dilation=dilation, dropout=dropout)
                for (below, above), dilation in zip(pairs, dilations, strict=True)
            )
        )
        self.pool = None if per_step else Pool("last")
        self.dropout = Dropout(dropout)
        self.output = self._output(widths[-1], outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("body", "pool")

    def every_step(self, x: Ragged, extra: Tensor | None = None) -> Ragged:
        """Return the outputs (T, N) after every step, none of which sees a later one."""
        x = self._checked(x, extra)
        parts = (part for part in self.describe().parts if part[0] != "pool")
        outputs: Ragged = run(Series(tuple(parts)), x, extra)
        return outputs
