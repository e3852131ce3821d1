"""`TextCNN` (Kim 2014)."""

from collections.abc import Sequence

from torch import Tensor, nn

from throughtime.nn import Dropout, Linear, Pool, WideConv
from throughtime.nn.description import Series, SideBySide, concatenated
from throughtime.ragged import Ragged


class TextCNN(nn.Module):
    """Embedding → convolutions of several widths side by side → maximum over time → linear.

    Parameters
    ----------
    vocabulary_size : int
        Tokens are integers below it.
    classes : int
        C, the number of classes.
    embedding_size : int
        Features per token.
    channels : int
        Features of each kernel size (100 in the paper).
    kernel_sizes : sequence of int
        Widths in tokens (3, 4, 5 in the paper).
    dropout : float
        On the pooled features (0.5 in the paper).

    References
    ----------
    .. [1] Y. Kim, "Convolutional neural networks for sentence classification", EMNLP (2014): CNN-rand.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.TextCNN(vocabulary_size=10, classes=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        *,
        embedding_size: int = 128,
        channels: int = 100,
        kernel_sizes: Sequence[int] = (3, 4, 5),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.convolutions = WideConv(embedding_size, channels, kernel_sizes)
        self.pool = Pool("max")
        self.dropout = Dropout(dropout)
        self.output = Linear(channels * len(kernel_sizes), classes)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        # Pooled one by one, so that what is concatenated is small; hooks belong on the blocks.
        branches = tuple(
            (f"blocks.{place}", Series((("", block), ("pool", self.pool))))
            for place, block in enumerate(self.convolutions.blocks)
        )
        return Series.of(
            embedding=self.embedding,
            convolutions=SideBySide(branches, concatenated),
            dropout=self.dropout,
            output=self.output,
        )

    def forward(self, tokens: Ragged) -> Tensor:
        """Return the logits (B, C) of integer tokens (T,)."""
        logits: Tensor = self.describe()(tokens)
        return logits
