"""`TextCNN` (Kim 2014)."""

from throughtime.models._inputs import ModelInputs
from throughtime.models._options import Channels, DropoutRate, EmbeddingSize, ParallelKernelSizes
from throughtime.models._sequence_model import SequenceModel
from throughtime.nn import Dropout, Pool, WideConv
from throughtime.nn.description import Series, SideBySide, concatenated


class TextCNN(SequenceModel):
    """Embedding → convolutions of several widths side by side → maximum over time → linear.

    Parameters
    ----------
    vocabulary_size : int or ModelInputs
        Tokens are integers below it; or what the model reads. Of a series there is no embedding.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    embedding_size : int
        Features per token.
    channels : int
        Features of each kernel size (100 in the paper).
    kernel_sizes : sequence of int
        Widths in tokens (3, 4, 5 in the paper).
    dropout : float
        On the pooled features (0.5 in the paper).
    per_step : bool
        Whether there is an output for each step: the features are not pooled.

    Returns
    -------
    Tensor or Ragged
        (B, N), with ``per_step`` a Ragged (T, N).

    References
    ----------
    .. [1] Y. Kim, "Convolutional neural networks for sentence classification", EMNLP (2014): CNN-rand.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.TextCNN(vocabulary_size=10, outputs=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    def __init__(
        self,
        vocabulary_size: int | ModelInputs,
        outputs: int,
        *,
        embedding_size: EmbeddingSize = 128,
        channels: Channels = 100,
        kernel_sizes: ParallelKernelSizes = (3, 4, 5),
        dropout: DropoutRate = 0.5,
        per_step: bool = False,
    ) -> None:
        inputs = ModelInputs.of(vocabulary_size, "tokens")
        super().__init__(inputs, embedding_size=embedding_size, per_step=per_step)
        self.convolutions = WideConv(self.step_features, channels, kernel_sizes)
        self.pool = None if per_step else Pool("max")
        self.dropout = Dropout(dropout)
        self.output = self._output(channels * len(kernel_sizes), outputs)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        return Series.of(
            embedding=self.embedding,
            convolutions=self.convolutions if self.per_step else self._pooled(),
            dropout=self.dropout,
            extra=self.extra,
            output=self.output,
        )

    def _pooled(self) -> SideBySide:
        """Return the convolutions, each pooled by itself, so that what is concatenated is small."""
        # Of the blocks, not of `convolutions`, which is not called: hooks belong on the blocks.
        branches = (
            (f"blocks.{place}", Series((("", block), ("pool", self.pool))))
            for place, block in enumerate(self.convolutions.blocks)
        )
        return SideBySide(tuple(branches), concatenated)
