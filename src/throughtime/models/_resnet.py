"""`ResNet` for series (Wang 2017)."""

from itertools import pairwise

from torch import nn

from throughtime.models._inputs import ModelInputs
from throughtime.models._options import (
    BlockKernelSizes,
    DropoutRate,
    EmbeddingSize,
    ResNetChannels,
    for_each_block,
)
from throughtime.models._sequence_model import SequenceModel
from throughtime.nn import Dropout, Pool, ResNetBlock
from throughtime.nn.description import Series


class ResNet(SequenceModel):
    """Three residual blocks of three convolutions each → mean over time → linear.

    Parameters
    ----------
    in_channels : int or ModelInputs
        Features per step; or what the model reads. Tokens are read through an embedding.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    channels : int or sequence of int
        Features of each residual block (64, 128, 128 in the paper); one number is for three.
    kernel_sizes : sequence of int
        Of the convolutions in a block (8, 5, 3 in the paper).
    embedding_size : int
        Features per token; without effect on a series.
    dropout : float
        On embeddings of tokens and on the pooled features (none in the paper).
    per_step : bool
        Whether there is an output for each step: the features are not pooled.

    Returns
    -------
    Tensor or Ragged
        (B, N), with ``per_step`` a Ragged (T, N).

    References
    ----------
    .. [1] Z. Wang, W. Yan and T. Oates, "Time series classification from scratch with deep neural networks: a
       strong baseline", IJCNN (2017), section II.C. A bias before batch normalisation has no effect and is
       left out.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.ResNet(in_channels=2, outputs=3)
    >>> tuple(model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)])).shape)
    (2, 3)
    """

    takes_tensors = True

    def __init__(
        self,
        in_channels: int | ModelInputs,
        outputs: int,
        *,
        channels: ResNetChannels = (64, 128, 128),
        kernel_sizes: BlockKernelSizes = (8, 5, 3),
        embedding_size: EmbeddingSize = 128,
        dropout: DropoutRate = 0.0,
        per_step: bool = False,
    ) -> None:
        inputs = ModelInputs.of(in_channels, "series")
        super().__init__(inputs, embedding_size=embedding_size, per_step=per_step)
        widths = for_each_block(channels, 3, "ResNet")
        pairs = pairwise((self.step_features, *widths))
        self.body = nn.Sequential(*(ResNetBlock(below, above, kernel_sizes) for below, above in pairs))
        self.pool = None if per_step else Pool("mean")
        self.dropout = Dropout(dropout)
        self.output = self._output(widths[-1], outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("body", "pool", "dropout")
