"""`FCN` (Wang 2017): convolutions alone, and the mean over time."""

from throughtime.errors import ShapeError
from throughtime.models._inputs import ModelInputs
from throughtime.models._options import (
    BlockKernelSizes,
    DropoutRate,
    EmbeddingSize,
    FCNChannels,
    for_each_block,
)
from throughtime.models._sequence_model import SequenceModel
from throughtime.nn import ConvStack, Dropout, Pool
from throughtime.nn.description import Series


class FCN(SequenceModel):
    """Three blocks of convolution, batch normalisation and ReLU → mean over time → linear.

    Parameters
    ----------
    in_channels : int or ModelInputs
        Features per step; or what the model reads. Tokens are read through an embedding.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    channels : int or sequence of int
        Features of each block (128, 256, 128 in the paper).
    kernel_sizes : sequence of int
        Of each block (8, 5, 3 in the paper).
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

    Raises
    ------
    ShapeError
        If there is not one kernel size for each number of channels.

    References
    ----------
    .. [1] Z. Wang, W. Yan and T. Oates, "Time series classification from scratch with deep neural networks: a
       strong baseline", IJCNN (2017), section II.B. A bias before batch normalisation has no effect and is
       left out.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.FCN(in_channels=2, outputs=3)
    >>> tuple(model(tt.Ragged.from_list([torch.randn(9, 2), torch.randn(4, 2)])).shape)
    (2, 3)
    """

    takes_tensors = True

    def __init__(
        self,
        in_channels: int | ModelInputs,
        outputs: int,
        *,
        channels: FCNChannels = (128, 256, 128),
        kernel_sizes: BlockKernelSizes = (8, 5, 3),
        embedding_size: EmbeddingSize = 128,
        dropout: DropoutRate = 0.0,
        per_step: bool = False,
    ) -> None:
        inputs = ModelInputs.of(in_channels, "series")
        super().__init__(inputs, embedding_size=embedding_size, per_step=per_step)
        widths = for_each_block(channels, len(kernel_sizes), "FCN")
        if len(widths) != len(kernel_sizes):
            raise ShapeError(
                f"FCN: {len(widths)} channels and {len(kernel_sizes)} kernel sizes; give one of each for "
                "every block"
            )
        self.body = ConvStack(self.step_features, widths, kernel_sizes, padding="same", norm="batch")
        self.pool = None if per_step else Pool("mean")
        self.dropout = Dropout(dropout)
        self.output = self._output(widths[-1], outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return self._series("body", "pool", "dropout")
