"""`BiLSTM` and `BiGRU`: both directions over the tokens, pooled over time."""

from typing import Literal, get_args

from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn import GRU, LSTM, Dropout, Linear, Pool
from throughtime.nn.description import Series
from throughtime.ragged import Ragged

_Pooling = Literal["max", "mean", "last"]
_POOLS = get_args(_Pooling)


class _BiRecurrent(nn.Module):
    """Embedding → recurrent layers in both directions → pooling over time → linear."""

    _layer: type[LSTM] | type[GRU]

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        *,
        embedding_size: int = 128,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.5,
        pool: _Pooling = "max",
    ) -> None:
        super().__init__()
        if pool not in _POOLS:
            raise ShapeError(f"{type(self).__name__}: pool is one of {', '.join(_POOLS)}; got {pool!r}")
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.recurrent = self._layer(
            embedding_size,
            hidden_size,
            num_layers,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.pool = Pool(pool)
        self.dropout = Dropout(dropout)
        self.output = Linear(2 * hidden_size, classes)

    def describe(self) -> Series:
        """Return the layers in the order in which they run."""
        names = ("embedding", "dropout", "recurrent", "pool", "dropout", "output")
        return Series(tuple((name, getattr(self, name)) for name in names))

    def forward(self, tokens: Ragged) -> Tensor:
        """Return the logits (B, C) of integer tokens (T,)."""
        logits: Tensor = self.describe()(tokens)
        return logits


class BiLSTM(_BiRecurrent):
    """Embedding → bidirectional LSTM → pooling over time → linear, with dropout between.

    Parameters
    ----------
    vocabulary_size : int
        Tokens are integers below it.
    classes : int
        C, the number of classes.
    embedding_size : int
        Features per token.
    hidden_size : int
        H, of each direction.
    num_layers : int
        Recurrent layers on top of each other.
    dropout : float
        On embeddings, between layers, and on the pooled states.
    pool : "max", "mean" or "last"
        How the states of all steps become one vector, see `throughtime.nn.Pool`.

    Raises
    ------
    ShapeError
        If ``pool`` is another.

    References
    ----------
    .. [1] A. Graves and J. Schmidhuber, "Framewise phoneme classification with bidirectional LSTM and
       other neural network architectures", Neural Networks 18 (2005).
    .. [2] A. Conneau et al., "Supervised learning of universal sentence representations from natural
       language inference data", EMNLP (2017): the maximum over time.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiLSTM(vocabulary_size=10, classes=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    _layer = LSTM


class BiGRU(_BiRecurrent):
    """The same as `BiLSTM` with gated recurrent units in place of the LSTM: three gates for four.

    Parameters are those of `BiLSTM`.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP (2014).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.BiGRU(vocabulary_size=10, classes=2)
    >>> logits = model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    >>> tuple(logits.shape)
    (2, 2)
    """

    _layer = GRU
